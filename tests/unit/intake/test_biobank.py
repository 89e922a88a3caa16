"""UK Biobank's manifests, label maps of masks, pseudonyms, sequence types."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom import Patient, read_frames
from mrseg_label.imaging.swaps import swapped_parts
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.dicom.redaction import Redaction
from mrseg_label.intake.dicom.sequence_names import reason_to_refuse, sequence_of
from mrseg_label.intake.dicom.ukbiobank import parse_zip_name, read_manifest
from mrseg_label.intake.masks.label_lists import read_label_list
from tests.support import dicom_files as dcm


def test_manifest_with_commas_that_are_not_quoted() -> None:
    text = (
        "filename,patientid,modality,date,series discription,size\r\n"
        "a.dcm,1234567,MR,May 1, 2014,Dixon_BH_17s_W,12\r\n"
        "b.dcm,1234567,MR,May 1, 2014 10:22,Dixon, BH, in,12\r\n"
        "c.dcm,1234567,MR,2014-05-01,plain_F,12\r\n"
        "short,line\r\n"
    )
    assert read_manifest(text.encode()) == {"a.dcm": "Dixon_BH_17s_W", "b.dcm": "Dixon, BH, in", "c.dcm": "plain_F"}
    assert read_manifest(b"no,such,columns\n1,2,3\n") == {}
    assert read_manifest(b"") == {}


def test_names_of_zips() -> None:
    found = parse_zip_name("1234567_20201_2_0.zip")
    assert found is not None
    assert (found.eid, found.field, found.visit) == ("1234567", "20201", "2_0")
    assert parse_zip_name("scan.zip") is None


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"SeriesDescription": "Dixon_BH_17s_in"}, "in"),
        ({"SeriesDescription": "Dixon_BH_17s_opp"}, "opp"),
        ({"SeriesDescription": "Dixon_BH_17s_F"}, "fat"),
        ({"SeriesDescription": "Dixon_BH_17s_W"}, "water"),
        ({"SeriesDescription": "mDIXON", "ImageType": ["DERIVED", "PRIMARY", "W", "W", "DERIVED"]}, "water"),
        ({"SeriesDescription": "lava", "ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "OUT_PHASE"]}, "opp"),
        ({"SeriesDescription": "t1_vibe_fs_tra"}, "t1fs"),
        ({"SeriesDescription": "t1_vibe_tra", "ScanOptions": ["PFP", "FS"]}, "t1fs"),
        ({"SeriesDescription": "T2 HASTE cor"}, "t2"),
        ({"SeriesDescription": "t2_tse_fs"}, "t2fs"),
        ({"SeriesDescription": "whatever", "ScanningSequence": "SE", "EchoTime": 90, "RepetitionTime": 3000}, "t2"),
        ({"SeriesDescription": "whatever", "ScanningSequence": "SE", "EchoTime": 10, "RepetitionTime": 500}, "t1"),
        ({"SeriesDescription": "Mueller, private words"}, ""),
        ({"Modality": "CT", "SeriesDescription": "Abdomen_F"}, "ct"),
    ],
)
def test_sequence_type_of_attributes_and_words(attributes: dict[str, Any], name: str) -> None:
    (ds, *_) = dcm.series(dcm.noise(1), **attributes)
    (frame,) = read_frames(dcm.as_bytes(ds), "f")
    assert sequence_of(frame) == name
    assert reason_to_refuse([frame]) is None


def test_pseudonyms_need_the_key_and_stay() -> None:
    patient = Patient("id\0\0H4711", frozenset({"H4711"}))
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert (
        one.participant_code(patient)
        == Pseudonyms(b"a" * 32).participant_code(patient)
        != other.participant_code(patient)
    )
    assert "4711" not in one.participant_code(patient)


def test_redaction_finds_names_however_they_are_joined() -> None:
    patient = Patient("k", frozenset({"Doe^John", "Doe", "John", "4711"}))
    redact = Redaction({patient}, {"4711"})
    assert redact("/data/DOE_JOHN/x") == "/data/***/x"
    assert redact("/data/johndoe/4711/Johnson") == "/data/***/4711/Johnson"
    assert Redaction({patient})("a/4711/b") == "a/***/b"


def test_label_maps(tmp_path: Path) -> None:
    def read(name: str, text: str) -> list[tuple[int, str]]:
        (tmp_path / name).write_text(text)
        return read_label_list(tmp_path / name)

    wanted = [(1, "spleen"), (5, "liver")]
    assert read("dataset.json", json.dumps({"labels": {"background": 0, "liver": 5, "spleen": 1}})) == wanted
    assert read("v1.json", json.dumps({"labels": {"0": "background", "1": "spleen", "5": "liver"}})) == wanted
    assert read("a.tsv", "name\tid\nliver\t5\nspleen\t1\n") == wanted
    assert read("b.csv", "1,spleen\n5,liver\n") == wanted
    for name, text in (
        ("regions.json", json.dumps({"labels": {"background": 0, "whole": [1, 2]}})),
        ("none.json", "{}"),
        ("twice.tsv", "id\tname\n1\ta\n1\tb\n"),
        ("words.tsv", "id\tname\nx\ta\n"),
    ):
        with pytest.raises((LabelError, InvalidInput)):
            read(name, text)


def body() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Geometry]:
    """Water and fat of a cylinder with 20 mm of fat around it, 80 x 80 x 20 voxels of 4 mm, LPS."""
    x, y = np.meshgrid(np.arange(80), np.arange(80), indexing="ij")
    radius = np.hypot((x - 40) / 34, (y - 40) / 26)
    noise = np.random.default_rng(0).normal(0, 15, (2, 80, 80, 20))
    fat = np.where((radius < 1) & (radius > 0.8), 900, 0) + np.where(radius <= 0.8, 60, 0)
    water = np.where(radius <= 0.8, 800, 0) + np.where((radius < 1) & (radius > 0.8), 50, 0)
    affine = np.diag((-4.0, -4.0, 4.0, 1.0))
    images = [np.abs(image[..., None] + part).astype(np.int16) for image, part in zip((water, fat), noise, strict=True)]
    return images[0], images[1], Geometry((80, 80, 20), affine)


def test_swaps_of_fat_and_water_are_found_whole_and_half() -> None:
    water, fat, geometry = body()
    assert swapped_parts(fat, water, geometry) == []
    assert swapped_parts(water, fat, geometry) == ["whole image"]
    left = slice(40, None)  # the first axis points to the left
    mixed_water, mixed_fat = water.copy(), fat.copy()
    mixed_water[left], mixed_fat[left] = fat[left], water[left]
    assert swapped_parts(mixed_fat, mixed_water, geometry) == ["left half"]
    upper_water, upper_fat = water.copy(), fat.copy()
    upper_water[..., 10:], upper_fat[..., 10:] = fat[..., 10:], water[..., 10:]
    assert swapped_parts(upper_fat, upper_water, geometry) == ["upper half"]


def test_noise_is_no_swap() -> None:
    random = np.random.default_rng(1)
    geometry = Geometry((40, 40, 20), np.diag((4.0, 4.0, 4.0, 1.0)))
    fat, water = random.integers(0, 900, (2, 40, 40, 20))
    assert swapped_parts(fat, water, geometry) == []
    assert swapped_parts(np.zeros((40, 40, 20)), np.zeros((40, 40, 20)), geometry) == []


def test_redaction_finds_names_and_dates_however_they_are_written() -> None:
    patient = Patient("k", frozenset({"Müller^Jürgen", "Müller", "Jürgen", "20251124", "Weiß", "Goessl", "471"}))
    redact = Redaction([patient], ["Anna"])
    for text in (
        "Müller_Jürgen",
        unicodedata.normalize("NFD", "Müller, Jürgen"),
        "JUERGEN MUELLER",
        "muller",
        "MüllerJürgen",
        "2025-11-24",
        "24.11.2025",
        "Weiss",
        "Gößl",
        unicodedata.normalize("NFD", "Gössl"),
    ):
        assert redact(f"/data/{text}/T1").replace("*** ***", "***") == "/data/***/T1", text
    assert redact("MR20251124") == "MR***"
    assert redact("1.2.840.113619.2.1.99.dcm") == "***.dcm"
    for text in ("Anna", "Muellerstrasse", "scan471b", "120251124", "version 1.2.3"):
        assert redact(text) == text
