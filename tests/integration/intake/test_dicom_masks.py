"""DICOM segmentations and structure sets find their images, become annotations, and leave nothing of the patient."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from sqlalchemy import select

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination
from mrseg_label.imaging.dicom.sources import SourceSlices
from mrseg_label.imaging.dicom.writing import encode
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.service import import_paths
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.dicom.writing import Origin, make_segmentation
from tests.support import dicom_files as dcm
from tests.support.dicom_masks import structure_set
from tests.support.intake_files import picture, save, stored, work

SCHEME = LabelScheme.default()
LIVER, SPLEEN = SCHEME["liver"].id, SCHEME["spleen"].id
SHAPE = (6, 5, 4)
OBLIQUE = tuple(np.linalg.qr(np.array([[0.9, 0.1, 0.2], [0.2, 1.0, -0.1], [0.1, 0.2, 1.0]]))[0].T[:2].ravel().tolist())


def drawn() -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:4, 1:3, :2], mask[4:, 3:, 2:] = LIVER, SPLEEN
    return mask


def seg(files: list[FileDataset], mask: NDArray[np.uint8], *names: str) -> bytes:
    """The segmentation of a series; ``mask`` on the grid that the series is imported on."""
    judged = frozenset(names or ("liver", "spleen", "aorta"))
    origin = Origin("key", judged, "ada", datetime(2026, 1, 2, tzinfo=UTC))
    return encode(make_segmentation(mask, SourceSlices.of(files).geometry, files, SCHEME, origin))


def check(workspace: OpenedWorkspace, report: ImportReport, expected: NDArray[np.uint8], masks: int = 1) -> Annotation:
    assert (report.masks, [one.reason for one in report.refused]) == (masks, [])
    work(workspace)
    (found,) = stored(workspace).values()
    np.testing.assert_array_equal(found, expected)
    with workspace.catalog.read() as session:
        return session.scalars(select(Annotation)).unique().one()


def test_a_segmentation_beside_its_series_becomes_an_annotation(opened: OpenedWorkspace, tmp_path: Path) -> None:
    files = dcm.series(
        dcm.noise(1), directions=OBLIQUE, uid="1.2.840.11", ImageType=["ORIGINAL", "PRIMARY", "M", "IN_PHASE"]
    )
    dcm.save(tmp_path / "d", files)
    (tmp_path / "d/SEG Musterfrau Erika").write_bytes(seg(files, drawn()))
    dry = import_paths(opened, [tmp_path / "d"], ImportOptions(dry_run=True))
    assert (dry.masks, dry.refused) == (1, [])
    annotation = check(opened, import_paths(opened, [tmp_path / "d"]), drawn())
    states = {item.structure: str(item.state) for item in annotation.structures}
    assert (states["liver"], states["aorta"], states["sacrum"]) == ("drawn", "absent", "not_annotated")
    # Nothing of the patient is stored with the mask.
    kept = [path.read_bytes() for path in opened.root.rglob("*") if path.is_file()]
    for secret in (b"Musterfrau", b"H4711", b"19640812", b"1.2.840.11"):
        assert not any(secret in content for content in kept)
    again = import_paths(opened, [tmp_path / "d"])
    assert (again.unchanged, again.masks) == (1, 0)


def test_a_mask_alone_finds_its_stored_image(opened: OpenedWorkspace, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1), uid="1.2.840.21")
    other = dcm.series(dcm.noise(2), uid="1.2.840.22", SeriesDescription="t2_haste", SeriesNumber=4)
    dcm.save(tmp_path / "d", [*files, *other])
    assert len(import_paths(opened, [tmp_path / "d"]).accepted) == 2
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/liver.dcm").write_bytes(seg(other, np.where(drawn() == LIVER, drawn(), 0), "liver"))
    # A single organ in each file: but they come one after the other, so the second is an annotation of its own.
    annotation = check(opened, import_paths(opened, [tmp_path / "masks"]), np.where(drawn() == LIVER, drawn(), 0))
    with opened.catalog.read() as session:
        assert session.get_one(Examination, annotation.examination_id).sequence == "t2"
    # Without the name of a series: by the patient, and by the grid among their images.
    far = dcm.series(dcm.noise(4), uid="1.2.840.24", origin=(-30.0, -20.0, 500.3), SeriesNumber=5)
    dcm.save(tmp_path / "far", far)
    assert len(import_paths(opened, [tmp_path / "far"]).accepted) == 1
    plain = dcmread(BytesIO(seg(far, drawn())))
    del plain.ReferencedSeriesSequence
    (tmp_path / "masks/liver.dcm").write_bytes(encode(plain))
    report = import_paths(opened, [tmp_path / "masks"])
    assert (report.masks, report.refused) == (1, [])
    work(opened)
    assert len(stored(opened)) == 2
    strange = seg(dcm.series(dcm.noise(3), uid="1.2.840.29"), drawn())
    (tmp_path / "masks/liver.dcm").write_bytes(strange)
    report = import_paths(opened, [tmp_path / "masks"])
    assert (
        report.masks == 0
        and "refers to no image of this import, and to none that is stored" in report.refused[0].reason
    )
    assert "--masks" in report.refused[0].reason


def test_a_structure_set_in_a_zip_and_one_file_an_organ(opened: OpenedWorkspace, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1), uid="1.2.840.31")
    grid = SourceSlices.of(files).geometry
    corners = np.array([(0.5, 0.5, 1), (3.5, 0.5, 1), (3.5, 2.5, 1), (0.5, 2.5, 1)])
    contour = corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    plan = structure_set({"Liver": [contour]}, series="1.2.840.31")
    spleen = np.where(drawn() == SPLEEN, drawn(), 0)
    members = {f"S/IM{k}": dcm.as_bytes(ds) for k, ds in enumerate(files)}
    dcm.save_zip(tmp_path / "d.zip", members | {"S/plan": plan, "S/zz": seg(files, spleen, "spleen")})
    expected = spleen.copy()
    expected[1:4, 1:3, 1] = LIVER
    check(opened, import_paths(opened, [tmp_path / "d.zip"]), expected)


def test_the_frame_of_reference_and_the_grid_decide_where_no_series_is_named(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    files = dcm.series(dcm.noise(1), uid="1.2.840.41", study="1.2.9")
    far = dcm.series(dcm.noise(2), uid="1.2.840.42", study="1.2.9", origin=(-30.0, -20.0, 500.3), SeriesNumber=4)
    dcm.save(tmp_path / "d", [*files, *far])
    ds = make_segmentation(
        drawn(), SourceSlices.of(far).geometry, far, SCHEME,
        Origin("k", frozenset({"liver", "spleen"}), "", datetime(2026, 1, 2, tzinfo=UTC)),
    )  # fmt: skip
    del ds.ReferencedSeriesSequence
    (tmp_path / "d/mask").write_bytes(encode(ds))
    annotation = check(opened, import_paths(opened, [tmp_path / "d"]), drawn())
    with opened.catalog.read() as session:
        stored_grid = Geometry.from_json(session.get_one(Examination, annotation.examination_id).geometry)
    assert stored_grid.matches(SourceSlices.of(far).geometry)


def test_what_a_mask_says_wrongly_is_refused_with_its_file_and_the_image_is_imported(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    files = dcm.series(dcm.noise(1), uid="1.2.840.51")
    dcm.save(tmp_path / "d", files)
    broken = seg(files, drawn())
    (tmp_path / "d/mask").write_bytes(broken[:-40])
    report = import_paths(opened, [tmp_path / "d"])
    assert (len(report.accepted), report.masks) == (1, 0)
    assert report.refused[0].source.endswith("mask")
    moved = dcm.series(dcm.noise(1), uid="1.2.840.51", origin=(-29.0, -20.0, 100.0))
    (tmp_path / "d/mask").write_bytes(seg(moved, drawn()))
    (refused,) = import_paths(opened, [tmp_path / "d"]).refused
    assert "does not lie on the lattice of its image" in refused.reason and "3D Slicer" in refused.reason
    made = dcmread(BytesIO(seg(files, drawn())))
    made.SegmentSequence[1].SegmentAlgorithmType = "AUTOMATIC"
    (tmp_path / "d/mask").write_bytes(encode(made))
    (refused,) = import_paths(opened, [tmp_path / "d"]).refused
    assert "a program made it (liver: AUTOMATIC)" in refused.reason
    # With a pattern of masks, nothing else is a mask.
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(masks="other/{name}.nii.gz"))
    assert report.refused == [] and any("only masks that it leads to" in one.reason for one in report.passed_over)


def test_a_pattern_leads_to_dicom_masks_of_nifti_images_and_readers_submit_them(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    files = dcm.series(dcm.noise(1))
    grid = SourceSlices.of(files).geometry
    save(tmp_path / "d/p1/in.nii.gz", np.resize(picture(1), SHAPE), grid.affine)
    (tmp_path / "d/p1/in.dcm").write_bytes(seg(files, drawn()))
    options = ImportOptions(pattern="{participant}/{sequence}.nii.gz", masks="{participant}/{sequence}.dcm")
    annotation = check(opened, import_paths(opened, [tmp_path / "d"], options), drawn())
    other = np.where(drawn() == LIVER, SPLEEN, 0).astype(np.uint8)
    (tmp_path / "upload").write_bytes(seg(files, other))
    done = submit(
        opened, Reader("ada"), examination_id=annotation.examination_id, upload=tmp_path / "upload",
        file_name="C:\\work\\mask.DCM", label_info=[{"name": "ignored"}],
    )  # fmt: skip
    with opened.catalog.read() as session:
        row = session.get_one(Annotation, done.annotation_id)
        assert row.upload_path.endswith(".seg.nrrd") and row.judged == {"liver", "spleen", "aorta"}
    assert b"Musterfrau" not in opened.path(row.upload_path).read_bytes()
