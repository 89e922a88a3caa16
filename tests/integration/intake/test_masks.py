"""Masks that lie beside the images become annotations through the decoder of submissions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from sqlalchemy import select
from typer.testing import CliRunner

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, snapshots
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Job
from mrseg_label.catalog.types import JobState
from mrseg_label.cli import app
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace
from tests.support import dicom_files as dcm
from tests.support.intake_files import AFFINE, SHAPE, boxes, picture, save, stored, work


def test_an_nnunet_data_set_with_its_labels(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    scheme = workspace.scheme
    data = tmp_path / "Dataset001"
    for seed, case in enumerate(("a.1", "b")):
        save(data / f"imagesTr/{case}_0000.nii.gz", picture(seed))
        save(data / f"labelsTr/{case}.nii.gz", boxes(7, 3))
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 7, "spleen": 3, "aorta": 4}}))
    options = ImportOptions(masks="labelsTr/{case}.nii.gz", mask_labels=data / "dataset.json")
    report = import_paths(workspace, [data], options)
    assert (len(report.accepted), report.refused, report.masks) == (2, [], 2)
    work(workspace)
    masks = stored(workspace)
    assert len(masks) == 2
    for mask in masks.values():
        assert np.array_equal(mask == scheme["liver"].id, boxes(7, 3) == 7)
        assert np.array_equal(mask == scheme["spleen"].id, boxes(7, 3) == 3)
        assert set(np.unique(mask)) == {0, scheme["liver"].id, scheme["spleen"].id}
    with workspace.catalog.read() as session:
        for annotation in session.scalars(select(Annotation)):
            states = {item.structure: str(item.state) for item in annotation.structures}
            assert (states["liver"], states["aorta"], states["left_kidney"]) == ("drawn", "absent", "not_annotated")
            assert annotation.author == "import"
    assert not list((workspace.root / "annotations/incoming").iterdir())
    # Again: nothing twice.
    again = import_paths(workspace, [data], options)
    assert (again.unchanged, again.masks) == (2, 0)
    work(workspace)
    assert len(stored(workspace)) == 2
    assert len(list((workspace.root / "annotations").rglob("*.upload.nii.gz"))) == 2


def test_a_mask_serves_its_acquisition_and_is_reoriented(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    for seed, channel in enumerate(("in", "F", "W")):
        save(tmp_path / f"d/P1/{channel}.nii.gz", picture(seed))
    flipped = AFFINE @ np.diag((-1.0, 1, 1, 1))
    flipped[:3, 3] += AFFINE[:3, 0] * (SHAPE[0] - 1)
    mask = boxes(1)
    mask[1, 2, 1] = 0
    save(tmp_path / "d/P1/seg.nii.gz", mask[::-1], flipped)
    (tmp_path / "labels.tsv").write_text("1\tLiver\n")
    options = ImportOptions(
        pattern="{participant}/{sequence}.nii.gz", masks="{participant}/seg.nii.gz", mask_labels=tmp_path / "labels.tsv"
    )
    report = import_paths(workspace, [tmp_path / "d"], options)
    assert (len(report.accepted), report.masks, report.refused) == (3, 1, [])
    work(workspace)
    ((examination, found),) = stored(workspace).items()
    assert np.array_equal(found == workspace.scheme["liver"].id, mask == 1)
    with workspace.catalog.read() as session:
        assert session.get_one(Examination, examination).sequence == "in"


def test_a_folder_with_one_file_per_structure(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    folder = tmp_path / "d/s0001"
    save(folder / "mri.nii.gz", picture(1))
    for name, mask in (
        ("liver", boxes(1)),
        ("vertebrae_L1", boxes(0, 1)),
        ("vertebrae_L2", boxes(0, 0, 1)),
        ("brain", boxes(0, 0, 0, 1)),
        ("spleen", boxes()),
    ):
        save(folder / f"segmentations/{name}.nii.gz", mask)
    report = import_paths(
        workspace,
        [tmp_path / "d"],
        ImportOptions(pattern="{participant}/mri.nii.gz", masks="{participant}/segmentations"),
    )
    assert (len(report.accepted), report.masks, report.refused) == (1, 1, [])
    work(workspace)
    (mask,) = stored(workspace).values()
    scheme = workspace.scheme
    assert np.array_equal(mask == scheme["liver"].id, boxes(1) == 1)
    assert np.array_equal(mask == scheme["spine"].id, boxes(0, 1, 1) == 1)
    assert set(np.unique(mask)) == {0, scheme["liver"].id, scheme["spine"].id}
    with workspace.catalog.read() as session:
        (job,) = session.scalars(select(Job).where(Job.kind == queue.IMPORT_MASK))
        assert "brain" in job.result["notes"][0]


def test_an_unusable_mask_is_refused_and_its_image_imported(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    save(tmp_path / "d/a.nii.gz", picture(1))
    save(tmp_path / "d/masks/a.nii.gz", boxes(1), AFFINE + np.diag((0.5, 0, 0, 0)))
    save(tmp_path / "d/b.nii.gz", picture(2))
    save(tmp_path / "d/masks/b.nii.gz", boxes(1) * 0.5)
    (tmp_path / "labels.tsv").write_text("1\tliver\n")
    options = ImportOptions(masks="masks/{name}.nii.gz", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(workspace, [tmp_path / "d"], options)
    assert (len(report.accepted), report.masks) == (2, 0)
    reasons = {Path(entry.source).name: entry.reason for entry in report.refused}
    assert "grid" in reasons["a.nii.gz"]
    assert "whole number" in reasons["b.nii.gz"]
    save(tmp_path / "d/masks/b.nii.gz", boxes(1))
    without = import_paths(workspace, [tmp_path / "d"], ImportOptions(masks="masks/{name}.nii.gz"))
    assert any("--mask-labels" in entry.reason for entry in without.refused)


def test_an_import_reports_at_once_what_the_decoder_refuses(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    masks = {"unknown": boxes(1, 2), "nameless": boxes(1, 9), "fine": boxes(1), "nothing": boxes(2) * 0}
    for seed, (name, mask) in enumerate(masks.items()):
        save(tmp_path / f"d/{name}.nii.gz", picture(seed))
        save(tmp_path / f"d/masks/{name}.nii.gz", mask)
    (tmp_path / "labels.tsv").write_text("1\tliver\n2\tflux capacitor\n3\twarp core\n")
    arguments = ["import", str(tmp_path / "d"), "--workspace", str(workspace.root), "--json"]
    arguments += ["--masks", "masks/{name}.nii.gz", "--mask-labels", str(tmp_path / "labels.tsv")]
    documents = []
    for more in (["--dry-run"], []):
        shown = CliRunner().invoke(app, [*arguments, *more])
        assert shown.exit_code == 1
        documents.append(json.loads(shown.stdout))
    for document in documents:
        reasons = {Path(entry["source"]).name: entry["reason"] for entry in document["refused"]}
        assert reasons.keys() == {"unknown.nii.gz", "nameless.nii.gz"}
        assert "'flux capacitor'" in reasons["unknown.nii.gz"]
        assert "'value 9'" in reasons["nameless.nii.gz"]
        assert (len(document["accepted"]), document["masks"]) == (4, 2)
        described = {Path(entry["source"]).name: entry["reason"] for entry in document["passed_over"]}
        assert "without voxels: flux capacitor, warp core" in described["fine.nii.gz"]
    work(workspace)
    assert len(stored(workspace)) == 2


def test_masks_without_an_image_are_not_imported_as_images(opened: OpenedWorkspace, tmp_path: Path) -> None:
    for seed, case in enumerate(("a", "b")):
        save(tmp_path / f"d/imagesTr/{case}_0000.nii.gz", picture(seed))
    for case in ("a", "lonely"):
        save(tmp_path / f"d/labelsTr/{case}.nii.gz", boxes(1))
    (tmp_path / "labels.tsv").write_text("1\tliver\n")
    options = ImportOptions(masks="labelsTr/{case}.nii.gz", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(opened, [tmp_path / "d"], options)
    assert (len(report.accepted), report.masks) == (2, 1)
    (refused,) = report.refused
    assert "lonely" in refused.source
    assert "no imported image has this mask" in refused.reason


def test_one_mask_for_two_acquisitions_is_given_to_one_and_reported(opened: OpenedWorkspace, tmp_path: Path) -> None:
    for seed, station in enumerate(("chest", "pelvis")):
        save(tmp_path / f"d/P1/{station}_T1.nii.gz", picture(seed))
    save(tmp_path / "d/P1/seg.nii.gz", boxes(1))
    (tmp_path / "labels.tsv").write_text("1\tliver\n")
    options = ImportOptions(
        pattern="{participant}/{station}_{sequence}.nii.gz",
        masks="{participant}/seg.nii.gz",
        mask_labels=tmp_path / "labels.tsv",
    )
    report = import_paths(opened, [tmp_path / "d"], options)
    assert (len(report.accepted), report.masks) == (2, 1)
    assert "from two acquisitions" in report.refused[0].reason


@pytest.mark.parametrize("zipped", [False, True])
def test_masks_beside_dicom(opened: OpenedWorkspace, tmp_path: Path, zipped: bool) -> None:
    workspace = opened
    array = dcm.noise(1, SHAPE)
    files = dcm.series(array, directions=dcm.CORONAL, SeriesDescription="t1_tse")
    if zipped:
        (tmp_path / "d/P1").mkdir(parents=True)
        dcm.save_zip(tmp_path / "d/P1/scan.zip", {f"a/{k}": dcm.as_bytes(ds) for k, ds in enumerate(files)})
    else:
        dcm.save(tmp_path / "d/P1/scan", files)
    # The grid as a tool that reads the series has it: the first import tells.
    Workspace.init(tmp_path / "trial")
    trial = open_workspace(tmp_path / "trial")
    (first,) = import_paths(trial, [tmp_path / "d"], ImportOptions(participant="P1")).accepted
    trial.catalog.close()
    mask = boxes(5, 6)
    assert first.geometry.shape == SHAPE
    save(tmp_path / "d/P1/scan_seg.nii.gz", mask, first.geometry.affine)
    save(tmp_path / "d/P1/other_seg.nii.gz", mask, first.geometry.affine)
    (tmp_path / "labels.tsv").write_text("5\tliver\n6\tspleen\n")
    options = ImportOptions(
        pattern="{participant}/*",
        masks="{participant}/{name}_seg.nii.gz",
        mask_labels=tmp_path / "labels.tsv",
    )
    report = import_paths(workspace, [tmp_path / "d"], options)
    (entry,) = report.accepted
    assert (entry.participant, entry.sequence, report.masks) == ("P1", "t1", 1)
    assert [Path(refused.source).name for refused in report.refused] == ["other_seg.nii.gz"]
    work(workspace)
    ((examination, found),) = stored(workspace).items()
    assert examination == entry.id
    assert np.array_equal(found == workspace.scheme["liver"].id, mask == 5)
    assert np.array_equal(found == workspace.scheme["spleen"].id, mask == 6)
    again = import_paths(workspace, [tmp_path / "d"], options)
    assert (again.unchanged, again.masks, len(again.accepted)) == (1, 0, 0)
    # On another grid it is refused, and the image that is there already stays.
    save(tmp_path / "d/P1/scan_seg.nii.gz", mask, AFFINE)
    wrong = import_paths(workspace, [tmp_path / "d"], options)
    assert any("grid" in refused.reason for refused in wrong.refused)


def test_a_mask_beside_dicom_may_be_named_after_the_patient(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    dcm.save(tmp_path / "d/Musterfrau", dcm.series(dcm.noise(1, SHAPE)))
    save(tmp_path / "d/Musterfrau/Musterfrau.nii.gz", boxes(1))
    (tmp_path / "labels.tsv").write_text("1\tliver\n")
    options = ImportOptions(masks="{name}.nii.gz", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(workspace, [tmp_path / "d"], options)
    assert len(report.accepted) == 1
    assert "grid" in report.refused[0].reason
    assert "uster" not in json.dumps(report.to_json())


def test_dicom_surfaces_are_passed_over_with_advice_and_empty_segmentations_are_refused(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    folder = dcm.save(tmp_path / "d", dcm.series(dcm.noise(1)))
    (folder / "surface.dcm").write_bytes(dcm.as_bytes(dcm.empty("1.2.840.10008.5.1.4.1.1.66.5")))
    report = import_paths(opened, [folder])
    assert (len(report.accepted), report.refused) == (1, [])
    assert "--masks" in report.passed_over[0].reason
    (folder / "seg.dcm").write_bytes(dcm.as_bytes(dcm.empty("1.2.840.10008.5.1.4.1.1.66.4")))
    (refused,) = import_paths(opened, [folder]).refused
    assert refused.reason == "the segmentation has no segments" and refused.source.endswith("seg.dcm")


def test_names_that_the_scheme_does_not_have_end_the_job_with_the_reason(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    workspace = opened
    save(tmp_path / "d/a.nii.gz", picture(1))
    save(tmp_path / "d/masks/a.nii.gz", boxes(1, 2))
    (tmp_path / "labels.tsv").write_text("id\tname\n1\tliver\n2\tflux-capacitor\n")
    # When the mask was imported the scheme had the structure; when the job runs it has not any more.
    scheme = workspace.root / "labels.tsv"
    text = scheme.read_text()
    scheme.write_text(text.replace("spleen", "flux-capacitor"))
    earlier = open_workspace(workspace.root)
    import_paths(
        earlier,
        [tmp_path / "d"],
        ImportOptions(masks="masks/{name}.nii.gz", mask_labels=tmp_path / "labels.tsv"),
    )
    earlier.close()
    scheme.write_text(text)
    work(workspace)
    assert stored(workspace) == {}
    with workspace.catalog.read() as session:
        (job,) = session.scalars(select(Job).where(Job.kind == queue.IMPORT_MASK))
        assert job.state is JobState.FAILED
        assert "flux-capacitor" in (job.error or "")
    shown = CliRunner().invoke(app, ["status", "--workspace", str(workspace.root), "--json"])
    (refused,) = json.loads(shown.stdout)["masks_refused"]
    assert "flux-capacitor" in refused["reason"]
    # With a label map that is right it comes in, and nothing is refused any more for that mask alone.
    (tmp_path / "labels.tsv").write_text("id\tname\n1\tliver\n2\tspleen\n")
    import_paths(
        workspace,
        [tmp_path / "d"],
        ImportOptions(masks="masks/{name}.nii.gz", mask_labels=tmp_path / "labels.tsv"),
    )
    work(workspace)
    assert len(stored(workspace)) == 1
    again = CliRunner().invoke(app, ["status", "--workspace", str(workspace.root), "--json"])
    assert json.loads(again.stdout)["masks_refused"] == []


def test_a_slicer_segmentation_brings_its_own_names(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    save(tmp_path / "d/a.nii.gz", picture(1))
    image = sitk.GetImageFromArray(boxes(9, 4).transpose())
    image.CopyInformation(sitk.ReadImage(str(tmp_path / "d/a.nii.gz")))
    for number, (name, value) in enumerate((("Leber", 9), ("liver", 4))):
        name = "spleen" if name == "Leber" else name
        fields = {"ID": f"s{number}", "Name": name, "LabelValue": value, "Layer": 0, "Color": "1 0 0"}
        for key, entry in fields.items():
            image.SetMetaData(f"Segment{number}_{key}", str(entry))
    sitk.WriteImage(image, str(tmp_path / "d/a.seg.nrrd"))
    alone = import_paths(workspace, [tmp_path / "d/a.seg.nrrd"])
    assert alone.accepted == []
    assert "not an image" in alone.refused[0].reason
    report = import_paths(workspace, [tmp_path / "d"], ImportOptions(masks="{name}.seg.nrrd"))
    assert (len(report.accepted), report.masks, report.refused) == (1, 1, [])
    work(workspace)
    (mask,) = stored(workspace).values()
    assert np.array_equal(mask == workspace.scheme["spleen"].id, boxes(9, 4) == 9)
    assert np.array_equal(mask == workspace.scheme["liver"].id, boxes(9, 4) == 4)


@pytest.mark.parametrize("masks", ["../{name}.nii.gz", "/{name}.nii.gz", "{who}.nii.gz", "{participant}_seg.nii.gz"])
def test_patterns_of_masks_that_cannot_be_used(opened: OpenedWorkspace, tmp_path: Path, masks: str) -> None:
    with pytest.raises(InvalidInput, match="pattern of masks"):
        import_paths(opened, [tmp_path], ImportOptions(masks=masks))


def test_imported_masks_are_trained_on_and_start_no_round(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    for seed, name in enumerate(("a", "b")):
        save(tmp_path / f"d/{name}.nii.gz", picture(seed))
        save(tmp_path / f"d/masks/{name}.nii.gz", boxes(1))
    (tmp_path / "labels.tsv").write_text("1\tliver\n")
    options = ImportOptions(masks="masks/{name}.nii.gz", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(workspace, [tmp_path / "d"], options)
    work(workspace)
    with workspace.catalog.read() as session:
        counts = acquisitions.counts(session, workspace.catalog.now(session))
        assert (counts.annotated_total, acquisitions.annotated_since_round(session)) == (2, 0)
        assert len(snapshots.candidates(session)) == 2
    # A reader corrects one of them: that counts, once.
    save(tmp_path / "corrected.nii.gz", boxes(0, 1))
    for client in ("reader", "reader", "import it"):
        submit(
            workspace,
            Reader(client),
            examination_id=report.accepted[0].id,
            upload=tmp_path / "corrected.nii.gz",
            file_name="corrected.nii.gz",
            label_info=[{"name": "liver"}],
        )
    with workspace.catalog.read() as session:
        assert acquisitions.annotated_since_round(session) == 1


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_masks_of_any_suffix(opened: OpenedWorkspace, tmp_path: Path, suffix: str) -> None:
    workspace = opened
    save(tmp_path / "d/ä b.1.nii.gz", picture(1))
    image = sitk.ReadImage(str(save(tmp_path / "mask.nii.gz", boxes(3, 4))))
    (tmp_path / "d/masks").mkdir()
    sitk.WriteImage(image, str(tmp_path / f"d/masks/ä b.1{suffix}"))
    (tmp_path / "labels.tsv").write_text("id\tname\n3\tliver\n4\tspleen\n")
    options = ImportOptions(masks=f"masks/{{name}}{suffix}", mask_labels=tmp_path / "labels.tsv")
    report = import_paths(workspace, [tmp_path / "d"], options)
    assert (len(report.accepted), report.masks, report.refused) == (1, 1, [])
    work(workspace)
    (mask,) = stored(workspace).values()
    assert np.array_equal(mask == workspace.scheme["liver"].id, boxes(3, 4) == 3)
    assert np.array_equal(mask == workspace.scheme["spleen"].id, boxes(3, 4) == 4)


def test_the_folder_of_an_image_is_not_its_mask(opened: OpenedWorkspace, tmp_path: Path) -> None:
    save(tmp_path / "d/P1/T1.nii.gz", picture(1))
    dcm.save(tmp_path / "e/P1/T1", dcm.series(dcm.noise(1)))
    for folder in ("d", "e"):
        options = ImportOptions(pattern="{participant}/{sequence}.nii.gz", masks="{participant}")
        if folder == "e":
            options = ImportOptions(pattern="{participant}/{sequence}", masks="{participant}/{station}")
        report = import_paths(opened, [tmp_path / folder], options)
        assert (len(report.accepted), report.masks, report.refused) == (1, 0, [])
