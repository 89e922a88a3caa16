"""Texts of DICOM files that violate the standard: they never cost the image, nor what else is known of the patient."""

from __future__ import annotations

import struct

import pytest

from mrseg_label.imaging.dicom import Frame, read_frames
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.dicom.redaction import HIDDEN, Redaction
from tests.support import dicom_files as dcm

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def frame_with(charset: bytes | None, **values: bytes) -> Frame:
    """Read a file whose texts are these bytes, which pydicom would not write."""
    data = dcm.as_bytes(dcm.series(dcm.noise(1))[0])
    tags = {"name": b"\x10\x00\x10\x00PN", "number": b"\x10\x00\x20\x00LO", "series": b"\x08\x00\x3e\x10LO"}
    for key, value in values.items():
        start = data.index(tags[key])
        (length,) = struct.unpack("<H", data[start + 6 : start + 8])
        value += b" " * (len(value) % 2)
        data = data[: start + 6] + struct.pack("<H", len(value)) + value + data[start + 8 + length :]
    if charset is not None:
        charset += b" " * (len(charset) % 2)
        start = data.index(b"\x08\x00\x08\x00CS")
        data = data[:start] + b"\x08\x00\x05\x00CS" + struct.pack("<H", len(charset)) + charset + data[start:]
    (frame,) = read_frames(data, "f")
    return frame


@pytest.mark.parametrize(
    "charset",
    [
        None,
        b"ISO_IR 100",
        b"ISO_IR 192",
        b"ISO_IR 999",
        b"HELLO",
        b"\xff\xfe",
        b"rot13",
        b"zlib",
        b"undefined",
        b"utf-16",
        b"\\ISO 2022 IR 87",
        b"\\ISO 2022 IR 149",
        b"ISO_IR 192\\ISO 2022 IR 87",
        b"GB18030",
        b"ISO_IR 13",
        b"idna",
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "Müller^Jürgen".encode(),
        b"M\xfcller^J\xfcrgen",
        "Yamada=山田^太郎".encode("iso2022_jp")[:-4],
        "=山田^太郎".encode("euc_jp"),
        b"Hong=\x1b$)C\xfb\xf3^\xd1\xce",
        b"\x1b$B",
        b"\x1b\x1b(",
        b"\x00\xff\xfe",
        b"a\\b=c=d=e",
    ],
)
def test_a_name_that_cannot_be_decoded_costs_neither_image_nor_other_tags(charset: bytes | None, name: bytes) -> None:
    frame = frame_with(charset, name=name, series=b"t1_vibe_dixon \xff\xfe_W")
    assert (frame.patient.sex, frame.patient.age, frame.patient.known) == ("F", 61.0, True)
    assert frame.rows == 5
    assert Pseudonyms(b"k" * 32).participant_code(frame.patient).startswith("P-")
    assert Redaction([frame.patient])(f"/{dcm.NUMBER}/") == f"/{HIDDEN}/"


@pytest.mark.parametrize("charset", [None, b"ISO_IR 100", b"ISO_IR 192", b"HELLO", b"zlib"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_under_the_wrong_character_set_is_still_removed_from_paths(charset: bytes | None, encoding: str) -> None:
    redact = Redaction([frame_with(charset, name="Müller^Jürgen".encode(encoding)).patient])
    hidden = redact("/data/Müller/Jürgen M/Mueller/x")
    assert hidden == f"/data/{HIDDEN}/{HIDDEN} M/{HIDDEN}/x"


def test_a_short_name_without_an_alphabet_is_removed_from_paths() -> None:
    frame = frame_with(b"ISO_IR 192", name="Yamada^Tarou=山田^太郎".encode())
    assert Redaction([frame.patient])("/data/山田/太郎/x") == f"/data/{HIDDEN}/{HIDDEN}/x"


def test_an_invalid_series_number_costs_nothing() -> None:
    ds = dcm.series(dcm.noise(1))[0]
    data = dcm.as_bytes(ds).replace(b"\x20\x00\x11\x00IS\x02\x003 ", b"\x20\x00\x11\x00IS\x02\x00ab")
    assert read_frames(data, "f")[0].number == 0
