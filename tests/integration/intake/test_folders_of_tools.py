"""Folders that nnU-Net, MONAI Label and others leave behind: masks come in as masks or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from monailabel.datastore.local import LocalDatastore
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.service import import_paths, register_upload
from mrseg_monailabel.studies import import_studies
from tests.support.intake_files import AFFINE, boxes, picture, save, stored, work

LABELS = {"background": 0, "liver": 7, "spleen": 3}


def text(report: ImportReport) -> str:
    return json.dumps(report.to_json())


def lines(entries: list[Any]) -> dict[str, str]:
    """The reasons of a report by the folder of the first file."""
    return {Path(entry.source.split(" and ")[0]).parent.name: entry.reason for entry in entries}


def nnunet(data: Path, cases: tuple[str, ...] = ("c_001", "c_002"), dataset: object = None, seed: int = 0) -> Path:
    """A raw data set with two channels, a test set and predictions."""
    for number, case in enumerate(cases):
        for channel in range(2):
            save(data / f"imagesTr/{case}_000{channel}.nii.gz", picture(seed + 10 * number + channel))
        save(data / f"labelsTr/{case}.nii.gz", boxes(7, 3))
    save(data / "imagesTs/t_000_0000.nii.gz", picture(seed + 90))
    save(data / "labelsTs/t_000.nii.gz", boxes(7))
    save(data / "predsTs/t_000.nii.gz", boxes(3))
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": LABELS, "file_ending": ".nii.gz"}
    (data / "dataset.json").write_text(json.dumps(content if dataset is None else dataset))
    return data


def participants(workspace: OpenedWorkspace) -> dict[str, list[str]]:
    """The sequences of each participant."""
    with workspace.catalog.read() as session:
        rows = session.execute(
            select(Participant.code, Examination.sequence)
            .join(Acquisition, Acquisition.participant_id == Participant.id)
            .join(Examination, Examination.acquisition_id == Acquisition.id)
            .order_by(Examination.sequence)
        )
        found: dict[str, list[str]] = {}
        for code, sequence in rows:
            found.setdefault(code, []).append(sequence)
        return found


def test_an_nnunet_raw_data_set(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = nnunet(tmp_path / "nnUNet_raw/Dataset001_Abdomen")
    report = import_paths(opened, [tmp_path / "nnUNet_raw"])
    assert (len(report.accepted), report.masks, report.refused) == (5, 2, [])
    said = lines(report.passed_over)
    assert "2 masks of nnU-Net" in said["labelsTr"]
    assert "outside the training set" in said["labelsTs"] and "predictions" in said["predsTs"]
    assert participants(opened) == {"c_001": ["t1", "t2"], "c_002": ["t1", "t2"], "t_000": ["t1"]}
    with opened.catalog.read() as session:
        assert len(session.scalars(select(Acquisition)).all()) == 3
    work(opened)
    masks = stored(opened)
    assert len(masks) == 2
    for mask in masks.values():
        assert np.array_equal(mask, boxes(opened.scheme["liver"].id, opened.scheme["spleen"].id))
    again = import_paths(opened, [data])
    assert (len(again.accepted), again.unchanged, again.masks, again.refused) == (0, 5, 0, [])


def test_cases_of_two_data_sets_with_the_same_numbers_are_other_participants(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    first, second = (nnunet(tmp_path / name, ("c_001",), seed=seed) for name, seed in (("A", 100), ("B", 200)))
    assert import_paths(opened, [first]).refused == []
    assert import_paths(opened, [second]).refused == []
    assert set(participants(opened)) == {"c_001", "t_000", "B/c_001", "B/t_000"}
    assert import_paths(opened, [first, second]).unchanged == 6


def test_channels_that_were_participants_of_their_own_come_together(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = nnunet(tmp_path / "A", ("c_001",))
    for channel in range(2):  # as versions before this one named them
        name = f"imagesTr/c_001_000{channel}"
        import_paths(opened, [data / f"{name}.nii.gz"], ImportOptions(participant=name))
    import_paths(opened, [data / "imagesTs/t_000_0000.nii.gz"], ImportOptions(participant="P7"))
    report = import_paths(opened, [data])
    assert (len(report.accepted), report.refused, report.masks) == (0, [], 1)
    assert participants(opened) == {"c_001": ["t1", "t2"], "P7": ["t1"]}


def test_a_table_knows_the_participants_of_a_data_set(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = nnunet(tmp_path / "A", ("P1_001", "P1_002"))
    (data / "participants.csv").write_text("participant,sex\nP1,F\n")
    import_paths(opened, [data])
    assert set(participants(opened)) == {"P1", "t_000"}


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, "region"),
        ({"name": "x"}, "no object 'labels'"),
        ("missing", "there is no dataset.json"),
    ],
)
def test_masks_without_usable_names_are_left_out_and_named(
    opened: OpenedWorkspace, tmp_path: Path, dataset: object, reason: str
) -> None:
    data = nnunet(tmp_path / "d", dataset=dataset)
    if dataset == "missing":
        (data / "dataset.json").unlink()
    report = import_paths(opened, [data])
    assert (len(report.accepted), report.masks) == (5, 0)
    assert reason in lines(report.refused)["labelsTr"] and "--mask-labels" in report.refused[0].reason


def test_a_data_set_of_the_decathlon(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "Task03_Liver"
    for seed, case in enumerate(("liver_0001", "liver_0002")):
        save(data / f"imagesTr/{case}.nii.gz", picture(seed))
        save(data / f"labelsTr/{case}.nii.gz", boxes(1))
        (data / f"imagesTr/._{case}.nii.gz").write_bytes(b"\0\5\x16\7")
    save(data / "labelsTr/liver_0009.nii.gz", boxes(1))
    (data / "dataset.json").write_text(
        json.dumps({"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}})
    )
    report = import_paths(opened, [data])
    assert (len(report.accepted), report.masks) == (2, 2)
    assert participants(opened) == {"liver_0001": ["ct"], "liver_0002": ["ct"]}
    (lonely,) = report.refused
    assert "liver_0009" in lonely.source and "no image" in lonely.reason


def monai(folder: Path, sample: Path) -> Path:
    """A folder as the real MONAI Label server leaves it."""
    for seed, name in enumerate(("a", "b.1", "c", "d", "e")):
        save(folder / f"{name}.nii.gz", picture(seed))
    store = LocalDatastore(str(folder), extensions=("*.nii.gz", "*.nrrd"))
    listed = {"label_info": [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 4}], "model": "deepedit"}
    mask = save(sample / "label.nii.gz", boxes(2, 1))
    for name in ("a", "b.1", "c", "d"):
        store.save_label(name, str(mask), "original", {"label_names": {"spleen": 1, "liver": 2}})
    store.save_label("a", str(mask), "final", dict(listed))
    store.save_label("b.1", str(mask), "final", dict(listed))
    store.save_label("c", str(mask), "final", {})  # a client that names nothing
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space origin": lps[:3, 3],
        "space directions": lps[:3, :3].T,
        "kinds": ["domain"] * 3,
    }
    for number, name in enumerate(("liver", "spleen")):
        fields = {"ID": f"S{number}", "Name": name, "LabelValue": str(number + 1), "Layer": "0"}
        header |= {f"Segment{number}_{key}": value for key, value in fields.items()}
    nrrd.write(str(sample / "label.nrrd"), boxes(1, 2), header)
    store.save_label("d", str(sample / "label.nrrd"), "final", dict(listed))
    return folder


@pytest.mark.parametrize("launcher", [False, True])
def test_a_folder_of_monai_label(opened: OpenedWorkspace, tmp_path: Path, launcher: bool) -> None:
    folder = monai(tmp_path / "studies", tmp_path / "sample")
    if launcher:
        import_studies(opened, folder)
    else:
        report = import_paths(opened, [folder])
        assert (len(report.accepted), report.masks) == (5, 3)
        (unnamed,) = report.refused
        assert "c.nii.gz" in unnamed.source and "datastore_v2.json does not name" in unnamed.reason
        said = lines(report.passed_over)
        assert "pre-segmentations" in said["original"] and "3 masks of MONAI Label" in said["final"]
    work(opened)
    with opened.catalog.read() as session:
        names = {Path(row.source).name: row.id for row in session.scalars(select(Examination))}
        assert set(names) == {f"{name}.nii.gz" for name in ("a", "b.1", "c", "d", "e")}
        assert {row.examination_id for row in session.scalars(select(Annotation))} == {
            names[f"{name}.nii.gz"] for name in ("a", "b.1", "d")
        }
    masks = stored(opened)
    liver, spleen = opened.scheme["liver"].id, opened.scheme["spleen"].id
    assert all(np.array_equal(mask, boxes(liver, spleen)) for mask in masks.values())


def test_a_folder_of_monai_label_whose_catalogue_is_damaged_or_gone(opened: OpenedWorkspace, tmp_path: Path) -> None:
    folder = monai(tmp_path / "studies", tmp_path / "sample")
    for content in ("{", "[]", '{"objects": {"a": 3}, "labels_dir": "/etc", "images_dir": "../.."}', None):
        (folder / "datastore_v2.json").unlink()
        if content is not None:
            (folder / "datastore_v2.json").write_text(content)
        report = import_paths(opened, [folder], ImportOptions(dry_run=True))
        assert (len(report.accepted), report.masks) == (5, 1), content  # the one that has names of its own
        assert sum("MONAI Label" in entry.reason for entry in report.refused) == 1
        if content is None:
            break


def test_the_archive_that_monai_label_exports(opened: OpenedWorkspace, tmp_path: Path) -> None:
    folder = monai(tmp_path / "studies", tmp_path / "sample")
    (folder / "labels/final/d.nrrd").unlink()
    store = LocalDatastore(str(folder), extensions=("*.nii.gz", "*.nrrd"))
    shutil.unpack_archive(store.get_dataset_archive(None), tmp_path / "unpacked", "zip")
    report = import_paths(opened, [tmp_path / "unpacked"])
    assert (len(report.accepted), report.masks, len(report.refused)) == (3, 2, 1)


def test_masks_that_the_import_states_itself(opened: OpenedWorkspace, tmp_path: Path) -> None:
    folder = monai(tmp_path / "studies", tmp_path / "sample")
    (tmp_path / "labels.tsv").write_text("2\tliver\n1\tspleen\n")
    options = ImportOptions(masks="labels/final/{name}.nii.gz", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(opened, [folder], options)
    assert (len(report.accepted), report.masks) == (5, 3)
    assert [Path(entry.source).name for entry in report.refused] == ["d.nrrd"]


def test_masks_beside_images_are_refused_with_advice(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "d"
    save(data / "abdomen.nii.gz", picture(1))
    save(data / "abdomen_mask.nii.gz", boxes(3, 17))
    save(data / "organ.nii.gz", boxes(1))
    save(data / "T1_masked.nii.gz", picture(2) * boxes(1))
    save(data / "sub/Segmentation.nii.gz", boxes(1, 2).astype(np.float32))
    for name in ("liver", "kidney_left", "brain"):
        save(data / f"s1/segmentations/{name}.nii.gz", boxes(1))
    save(data / "s1/ct.nii.gz", picture(3))
    nrrd.write(str(data / "Untitled.nrrd"), boxes(1), {"Segment0_ID": "S", "Segment0_Name": "liver"})
    report = import_paths(opened, [data])
    assert {Path(entry.source).name for entry in report.accepted} == {"abdomen.nii.gz", "T1_masked.nii.gz", "ct.nii.gz"}
    assert len(report.refused) == 5
    assert all("--masks" in entry.reason for entry in report.refused)
    assert '"{participant}/segmentations"' in lines(report.refused)["segmentations"]
    insisting = import_paths(opened, [data], ImportOptions(allow_label_maps=True))
    assert {Path(entry.source).name for entry in insisting.accepted} >= {"abdomen_mask.nii.gz", "Segmentation.nii.gz"}


def test_a_mask_that_is_uploaded_as_an_image_is_refused(opened: OpenedWorkspace, tmp_path: Path) -> None:
    for alias, array in (("abdomen_mask", boxes(1, 2)), ("abdomen", boxes(1))):
        file = save(tmp_path / "upload.nii.gz", array)
        with pytest.raises(InvalidInput, match="segmentation of its image"):
            register_upload(opened, Reader("reader"), file, alias=alias)
    register_upload(opened, Reader("reader"), save(tmp_path / "upload.nii.gz", picture(1)), alias="abdomen_mask")


def test_derived_data_of_bids_are_left_out_and_named(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "bids"
    save(data / "sub-01/anat/sub-01_T1w.nii.gz", picture(1))
    save(data / "sub-01/anat/sub-01_dseg.nii.gz", boxes(1, 2))
    save(data / "derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz", boxes(1))
    save(data / "derivatives/manual/sub-01/anat/sub-01_space-T1w_mask.nii.gz", boxes(1))
    (data / "dataset_description.json").write_text("{}")
    report = import_paths(opened, [data])
    assert len(report.accepted) == 1
    assert "sub-01_dseg.nii.gz" in report.refused[0].source and "--masks" in report.refused[0].reason
    (left_out,) = report.passed_over
    assert "and 1 more" in left_out.source and "derived" in left_out.reason
