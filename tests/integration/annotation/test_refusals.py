"""Bad uploads: each is refused with a message that names what is wrong, and leaves nothing behind."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, AuditEvent, Job
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.dicom.frames import MASK_CLASSES
from tests.support.annotation_house import GRID, House, draft_array, make_house
from tests.support.dicom_files import MR, as_bytes, empty
from tests.unit.segments.test_files import save_seg

NAMES = [{"name": name} for name in ("spleen", "right_kidney", "left_kidney", "gallbladder", "liver")]
Make = Callable[[Path], bytes]


def nifti(
    array: NDArray[Any] | None = None, affine: NDArray[np.float64] = GRID.affine, suffix: str = ".nii.gz"
) -> Make:
    """The bytes of a NIfTI file."""

    def make(folder: Path) -> bytes:
        path = folder / f"made{suffix}"
        nib.save(nib.Nifti1Image(draft_array() if array is None else array, affine), path)
        return path.read_bytes()

    return make


def patched(offset: int, form: str, *values: Any) -> Make:
    """A NIfTI file with some numbers of its header changed."""

    def make(folder: Path) -> bytes:
        data = bytearray(nifti(suffix=".nii")(folder))
        struct.pack_into("<" + form, data, offset, *values)
        return gzip.compress(bytes(data))

    return make


def two_forms(folder: Path) -> bytes:
    """A NIfTI file whose sform and qform mirror each other."""
    image = nib.Nifti1Image(draft_array(), GRID.affine)
    image.set_sform(GRID.affine @ np.diag([-1, 1, 1, 1]), code=1)
    image.set_qform(GRID.affine, code=1)
    nib.save(image, folder / "made.nii.gz")
    return (folder / "made.nii.gz").read_bytes()


def changed(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """A file with its bytes changed."""
    return lambda folder: change(make(folder))


def seg(
    segments: list[tuple[str, int, int]],
    array: NDArray[Any] | None = None,
    affine: NDArray[np.float64] = GRID.affine,
    **more: str,
) -> Make:
    """The bytes of a .seg.nrrd."""

    def make(folder: Path) -> bytes:
        return save_seg(
            folder / "made.seg.nrrd", draft_array() if array is None else array, affine, segments, **more
        ).read_bytes()

    return make


def nrrd_text(*lines: str, data: bytes = b"") -> Make:
    """An NRRD file written by hand."""
    return lambda _folder: b"NRRD0004\n" + "\n".join(lines).encode() + b"\n\n" + data


def mha_text(data: bytes = draft_array().tobytes(order="F"), **fields: str) -> Make:
    """A MetaImage file written by hand, on the grid of the image."""
    header = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0", "ElementSpacing": "2 2.5 3", "DimSize": "6 7 8", "ElementType": "MET_UCHAR",
    } | fields | {"ElementDataFile": "LOCAL"}  # fmt: skip
    return lambda _folder: "\n".join(f"{key} = {value}" for key, value in header.items()).encode() + b"\n" + data


def values(*some: float) -> NDArray[np.float32]:
    array = draft_array().astype(np.float32)
    array.reshape(-1)[: len(some)] = some
    return array


def moved(row: int, column: int, by: float) -> NDArray[np.float64]:
    affine = GRID.affine.copy()
    affine[row, column] += by
    return affine


def sheared() -> NDArray[np.float64]:
    return moved(0, 1, 0.5)


WHOLE = nifti()
FIVE = [("spleen", 0, 1), ("right_kidney", 0, 2), ("left_kidney", 0, 3), ("gallbladder", 0, 4), ("liver", 0, 5)]
HEAD = (
    "type: uint8",
    "dimension: 3",
    "space: left-posterior-superior",
    "sizes: 6 7 8",
    "space directions: (2,0,0) (0,2.5,0) (0,0,3)",
    "kinds: domain domain domain",
    "space origin: (0,0,0)",
)
BODY = draft_array().tobytes(order="F")

# What is uploaded, under which name, with which label_info, and what the message must name.
CORPUS: dict[str, tuple[Make, str, object, str]] = {
    # Files that are not what they say
    "empty file": (lambda _: b"", "a.nii.gz", NAMES, "empty"),
    "empty nrrd": (lambda _: b"", "a.nrrd", NAMES, "empty"),
    "empty seg.nrrd": (lambda _: b"", "a.seg.nrrd", NAMES, "empty"),
    "text": (lambda _: b"hello, world\n" * 99, "a.nii", NAMES, "not NIfTI"),
    "gzip of text": (lambda _: gzip.compress(b"hello" * 999), "a.nii.gz", NAMES, "not NIfTI"),
    "no suffix": (WHOLE, "label", NAMES, "ends in one of"),
    "suffix of another kind": (WHOLE, "label.stl", NAMES, "ends in one of"),
    "nifti as .dcm": (WHOLE, "label.dcm", NAMES, "not a DICOM file"),
    "dicom image as mask": (lambda _: as_bytes(empty(MR)), "a.dcm", NAMES, "neither a segmentation"),
    "dicom segmentation without segments": (lambda _: as_bytes(empty(MASK_CLASSES[0])), "a.dcm", NAMES, "no segments"),
    "dicom structure set without regions": (lambda _: as_bytes(empty(MASK_CLASSES[2])), "a.dcm", NAMES, "no regions"),
    "no name": (WHOLE, "", NAMES, "ends in one of"),
    "folder as name": (WHOLE, "label.nii.gz/", NAMES, "NOT REFUSED"),
    "compressed as .nii": (WHOLE, "a.nii", NAMES, "contrary to the name"),
    "plain as .nii.gz": (nifti(suffix=".nii"), "a.nii.gz", NAMES, "contrary to the name"),
    "nifti as .nrrd": (WHOLE, "a.nrrd", NAMES, "not NRRD"),
    "nrrd as .nii.gz": (seg(FIVE), "a.nii.gz", NAMES, "contrary to the name"),
    "nifti as .seg.nrrd": (WHOLE, "a.seg.nrrd", NAMES, "not NRRD"),
    "nifti as .mha": (WHOLE, "a.mha", NAMES, "a|upload.mha"),
    "zip": (lambda _: b"PK\x03\x04" + bytes(500), "a.nii.gz", NAMES, "contrary to the name"),
    "nifti pair": (patched(344, "4s", b"ni1\0"), "a.nii.gz", NAMES, "single-file"),
    # Truncated and damaged
    "truncated by half": (changed(WHOLE, lambda b: b[: len(b) // 2]), "a.nii.gz", NAMES, "truncated|damaged"),
    "truncated by one byte": (changed(WHOLE, lambda b: b[:-1]), "a.nii.gz", NAMES, "truncated|damaged"),
    "truncated in the header": (changed(WHOLE, lambda b: b[:30]), "a.nii.gz", NAMES, "damaged|not NIfTI"),
    "checksum missing": (changed(WHOLE, lambda b: b[:-8]), "a.nii.gz", NAMES, "truncated|damaged"),
    "checksum wrong": (changed(WHOLE, lambda b: b[:-8] + bytes(4) + b[-4:]), "a.nii.gz", NAMES, "damaged"),
    "length wrong": (changed(WHOLE, lambda b: b[:-4] + bytes(4)), "a.nii.gz", NAMES, "damaged"),
    "bit flipped in the stream": (changed(WHOLE, lambda b: b[:40] + bytes([b[40] ^ 255]) + b[41:]), "a.nii.gz", NAMES, "damaged|not NIfTI|header"),
    "plain truncated": (changed(nifti(suffix=".nii"), lambda b: b[:-9]), "a.nii", NAMES, "cannot hold|truncated"),
    "plain too long": (changed(nifti(suffix=".nii"), lambda b: b + bytes(9)), "a.nii", NAMES, "more voxels"),
    "more in the stream": (changed(nifti(suffix=".nii"), lambda b: gzip.compress(b + b"x")), "a.nii.gz", NAMES, "more voxels"),
    "seg.nrrd truncated": (changed(seg(FIVE), lambda b: b[:-12]), "a.seg.nrrd", NAMES, "truncated|damaged"),
    "seg.nrrd checksum": (changed(seg(FIVE), lambda b: b[:-8] + bytes(4) + b[-4:]), "a.seg.nrrd", NAMES, "damaged"),
    "nrrd without voxels": (nrrd_text(*HEAD, "encoding: raw"), "a.nrrd", NAMES, "cannot hold|truncated"),
    "nrrd header without end": (lambda _: b"NRRD0004\ntype: uint8", "a.nrrd", NAMES, "no end"),
    # Headers that lie, bombs
    "bits a voxel": (patched(72, "h", 64), "a.nii.gz", NAMES, "bits a voxel"),
    "unknown type": (patched(70, "h", 999), "a.nii.gz", NAMES, "data type"),
    "colours": (patched(70, "hh", 128, 24), "a.nii.gz", NAMES, "RGB"),
    "complex": (patched(70, "hh", 32, 64), "a.nii.gz", NAMES, "complex"),
    "no axes": (patched(40, "h", 0), "a.nii.gz", NAMES, "0 axes"),
    "negative size": (patched(40, "4h", 3, -6, 7, 8), "a.nii.gz", NAMES, "size"),
    "zero size": (patched(40, "4h", 3, 0, 7, 8), "a.nii.gz", NAMES, "size"),
    "huge size": (patched(40, "4h", 3, 32767, 32767, 32767), "a.nii.gz", NAMES, "32767"),
    "offset into the header": (patched(108, "f", 10.0), "a.nii.gz", NAMES, "begin at byte"),
    "offset far behind": (patched(108, "f", 1e12), "a.nii.gz", NAMES, "begin at byte"),
    "offset NaN": (patched(108, "f", float("nan")), "a.nii.gz", NAMES, "begin at byte"),
    "bomb": (changed(nifti(suffix=".nii"), lambda b: gzip.compress(b + bytes(50_000_000))), "a.nii.gz", NAMES, "more voxels"),
    "bomb of seg.nrrd": (
        nrrd_text(*HEAD[:3], "sizes: 1600 1600 1600", *HEAD[4:], "encoding: gzip", "Segment0_Name:=liver", data=gzip.compress(bytes(20_000_000))),
        "a.seg.nrrd", NAMES, "bytes of voxels",
    ),
    "bomb of layers": (
        nrrd_text("type: uint8", "dimension: 4", HEAD[2], "sizes: 100000 6 7 8", "space directions: none (2,0,0) (0,2.5,0) (0,0,3)",
                  "kinds: list domain domain domain", HEAD[6], "encoding: gzip", "Segment0_Name:=liver", data=gzip.compress(bytes(3_000_000))),
        "a.seg.nrrd", NAMES, "bytes of voxels",
    ),
    "detached voxels": (nrrd_text(*HEAD, "encoding: raw", "data file: /etc/passwd"), "a.nrrd", NAMES, "data ?file"),
    "voxels as text": (nrrd_text(*HEAD, "encoding: ascii", data=b"1 2 3"), "a.nrrd", NAMES, "ascii"),
    "nrrd of blocks": (nrrd_text("type: block", *HEAD[1:], "encoding: raw", data=BODY), "a.nrrd", NAMES, "block"),
    "origin of two numbers": (nrrd_text(*HEAD[:6], "space origin: (0,0)", "encoding: raw", data=BODY), "a.nrrd", NAMES, "origin"),
    "infinite size": (mha_text(DimSize="6 7 inf"), "a.mha", NAMES, "DimSize must be whole numbers"),
    "size NaN": (mha_text(DimSize="6 7 nan"), "a.mha", NAMES, "DimSize must be whole numbers"),
    "negative channels": (mha_text(ElementNumberOfChannels="-1"), "a.mha", NAMES, "size"),
    "infinite channels": (mha_text(ElementNumberOfChannels="inf"), "a.mha", NAMES, "whole numbers"),
    "far longer than its voxels": (
        mha_text(CompressedData="True", data=zlib.compress(bytes(6 * 7 * 8))[:-4] + bytes(3_000_000)), "a.mha", NAMES, "voxels",
    ),
    "bomb of zlib": (mha_text(CompressedData="True", data=zlib.compress(bytes(80_000_000))), "a.mha", NAMES, "more than"),
    "nothing at the end of the world": (
        seg(FIVE, np.zeros(GRID.shape, np.uint8), GRID.affine + 1e30 * np.eye(4, k=3)), "a.seg.nrrd", NAMES, "lattice",
    ),
    # Voxels that are no labels
    "fractional": (nifti(values(0.5)), "a.nii.gz", NAMES, "whole numbers"),
    "nearly whole": (nifti(values(1.002)), "a.nii.gz", NAMES, "whole numbers"),
    "negative": (nifti(values(-1)), "a.nii.gz", NAMES, "between 0"),
    "negative int16": (nifti(values(-3).astype(np.int16)), "a.nii.gz", NAMES, "between 0"),
    "NaN": (nifti(values(float("nan"))), "a.nii.gz", NAMES, "NaN"),
    "infinite": (nifti(values(float("inf"))), "a.nii.gz", NAMES, "infinite"),
    "too large": (nifti(values(70_000)), "a.nii.gz", NAMES, "between 0"),
    "scaled by NaN": (patched(112, "2f", 1.0, float("nan")), "a.nii.gz", NAMES, "scaling"),
    # Geometry
    "four axes": (nifti(np.stack([draft_array()] * 2, axis=-1)), "a.nii.gz", NAMES, "2 volumes"),
    "two axes": (nifti(draft_array()[:, :, 0]), "a.nii.gz", NAMES, "2D|one slice|three axes"),
    "one slice less": (nifti(draft_array()[:, :, :-1]), "a.nii.gz", NAMES, "number of voxels differs.*against"),
    "one slice more": (nifti(np.pad(draft_array(), ((0, 0), (0, 0), (0, 1)))), "a.nii.gz", NAMES, "number of voxels"),
    "origin": (nifti(affine=moved(0, 3, 0.5)), "a.nii.gz", NAMES, "apart.*against"),
    "spacing": (nifti(affine=moved(2, 2, 0.05)), "a.nii.gz", NAMES, "apart.*against"),
    "mirrored in place": (nifti(affine=GRID.affine @ np.diag([-1, 1, 1, 1])), "a.nii.gz", NAMES, "apart|differ"),
    "sheared": (nifti(affine=sheared()), "a.nii.gz", NAMES, "shear"),
    "no orientation": (patched(252, "2h", 0, 0), "a.nii.gz", NAMES, "no orientation"),
    "zero spacing": (patched(80, "f", 0.0), "a.nii.gz", NAMES, "spacing"),
    "sform against qform": (two_forms, "a.nii.gz", NAMES, "disagree"),
    "sform not finite": (patched(280, "4f", float("nan"), 0.0, 0.0, 0.0), "a.nii.gz", NAMES, "finite"),
    "nrrd in metres twice": (nrrd_text(*HEAD, 'space units: "mm" "m" "mm"', "encoding: raw", data=BODY), "a.nrrd", NAMES, "units"),
    "nrrd of a scanner space": (nrrd_text("type: uint8", HEAD[1], "space: scanner-xyz", *HEAD[3:], "encoding: raw", data=BODY), "a.nrrd", NAMES, "no orientation"),
    "seg.nrrd off the lattice": (seg(FIVE, affine=moved(0, 3, 0.7)), "a.seg.nrrd", NAMES, "lattice.*against"),
    "seg.nrrd of another spacing": (seg(FIVE, affine=moved(2, 2, 0.1)), "a.seg.nrrd", NAMES, "lattice"),
    "seg.nrrd outside the image": (seg(FIVE, affine=moved(0, 3, -4.0)), "a.seg.nrrd", NAMES, "outside the image"),
    # Names and values
    "value beyond the list": (WHOLE, "a.nii.gz", NAMES[:4], "value 5 .*4 segments"),
    "nothing listed": (WHOLE, "a.nii.gz", [], "values 1, 5"),
    "unknown name": (WHOLE, "a.nii.gz", [*NAMES[:4], {"name": "Segment_1"}], "Segment_1.*The scheme has"),
    "same name twice": (WHOLE, "a.nii.gz", [*NAMES[:4], {"name": "spleen"}], "spleen"),
    "two names of one structure": (WHOLE, "a.nii.gz", [*NAMES[:4], {"name": "kidney_left"}], "left_kidney.*kidney_left"),
    "label_info is no list": (WHOLE, "a.nii.gz", {"spleen": 1}, "label_info"),
    "label_info of strings": (WHOLE, "a.nii.gz", ["spleen"], "label_info"),
    "label_info without name": (WHOLE, "a.nii.gz", [{"idx": 1}], "label_info"),
    "label_info with a number": (WHOLE, "a.nii.gz", [{"name": 7}], "label_info"),
    "too many segments": (WHOLE, "a.nii.gz", [{"name": f"s{n}"} for n in range(5000)], "5000"),
    "name with half a character": (WHOLE, "a.nii.gz", [*NAMES, {"name": "x\ud800"}], "name of 2 characters"),
    "name with NUL": (WHOLE, "a.nii.gz", [*NAMES, {"name": "x\0"}], "control characters"),
    "endless name": (WHOLE, "a.nii.gz", [*NAMES, {"name": "x" * 70_000}], "at most 200"),
    "nothing judged": (nifti(np.zeros(GRID.shape, np.uint8)), "a.nii.gz", [], "no segment of this submission"),
    "tools' segments alone": (
        nifti((draft_array() > 0).astype(np.uint8)), "a.nii.gz", [{"name": "foreground_scribbles"}], "no segment of this submission",
    ),
    "seg.nrrd without segments": (seg([]), "a.seg.nrrd", NAMES, "no segments"),
    "seg.nrrd with a gap": (seg(FIVE, Segment7_Name="heart"), "a.seg.nrrd", NAMES, "without gaps"),
    "seg.nrrd without value": (changed(seg(FIVE), lambda b: b.replace(b"Segment1_LabelValue", b"Segment1_LabelValuX")), "a.seg.nrrd", NAMES, "LabelValue"),
    "seg.nrrd value no number": (seg(FIVE, Segment2_LabelValue="two"), "a.seg.nrrd", NAMES, "LabelValue"),
    "seg.nrrd value twice": (seg([*FIVE[:4], ("liver", 0, 1)]), "a.seg.nrrd", NAMES, "both have value 1"),
    "seg.nrrd layer beyond": (seg([*FIVE[:4], ("liver", 3, 1)]), "a.seg.nrrd", NAMES, "layer"),
    "seg.nrrd unknown name": (seg([*FIVE[:4], ("growth", 0, 5)]), "a.seg.nrrd", NAMES, "growth"),
    "seg.nrrd nameless value": (seg(FIVE[:4]), "a.seg.nrrd", NAMES, "value 5"),
}  # fmt: skip
ACCEPTED = CORPUS.pop("folder as name")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from make_house(tmp_path_factory.mktemp("house"), 'AUTH = "off"\n')


def everything(house: House) -> tuple[set[str], list[int]]:
    """Every file around the workspace and the number of rows that a submission would add or change."""
    base = house.workspace.root.parent
    files = {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file() and ".db" not in p.name}
    with house.catalog.read() as session:
        rows = [session.query(table).count() for table in (Annotation, Job, AuditEvent)]
        rows.append(session.query(Acquisition).filter(Acquisition.annotated_at.is_not(None)).count())
    return files, rows


@pytest.mark.parametrize("case", CORPUS)
def test_bad_upload_is_refused_and_changes_nothing(house: House, tmp_path: Path, case: str) -> None:
    make, file_name, label_info, message = CORPUS[case]
    upload = tmp_path / "upload"
    upload.write_bytes(make(tmp_path))
    before = everything(house)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=f"(?is){message}") as refused:
            submit(
                house.workspace,
                Reader("user-xyz"),
                examination_id=house.examination,
                upload=upload,
                file_name=file_name,
                label_info=label_info,
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 400 <= refused.value.http_status < 500
    assert everything(house) == before
    assert peak < 64 * 1024**2, f"{peak:,} bytes were allocated before the upload was refused"


def test_corpus_is_large_and_its_base_is_good(house: House, tmp_path: Path) -> None:
    """The files that the corpus damages are accepted as they are, so each refusal is for its own damage."""
    assert len(CORPUS) >= 60
    for make, name in (
        (WHOLE, ACCEPTED[1]),
        (nifti(suffix=".nii"), "a.nii"),
        (seg(FIVE), r"C:\a.seg.nrrd"),
        (patched(0, "i", 348), "a.nii.gz"),
    ):
        upload = tmp_path / "upload"
        upload.write_bytes(make(tmp_path))
        sent = submit(house.workspace, Reader("user-xyz"), examination_id=house.examination, upload=upload, file_name=name, label_info=NAMES)  # fmt: skip
        assert sent.number == 1
