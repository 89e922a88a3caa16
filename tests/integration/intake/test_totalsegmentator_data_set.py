"""The layout of the TotalSegmentator data set: an image and a folder with one file per class, of which some merge."""

from __future__ import annotations

import csv
from pathlib import Path

import nrrd
import numpy as np
import pytest
from sqlalchemy import select

import mrseg_label.segments.names
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination, Job, Participant
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.workspace import Workspace
from tests.support.intake_files import AFFINE, SHAPE, boxes, picture, save, stored, work

OPTIONS = ImportOptions(pattern="{participant}/ct.nii.gz", masks="{participant}/segmentations")


def classes() -> dict[str, int]:
    """The names and ids of TotalSegmentator's 117 classes."""
    table = Path(mrseg_label.segments.names.__file__).with_name("foreign_names.tsv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t")
        return {name: int(number) for label_set, number, name in rows if label_set == TOTALSEGMENTATOR_TOTAL}


def expected(scheme: LabelScheme) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The label map of a case whose k-th voxel belongs to class k."""
    mask = np.zeros(SHAPE, np.uint8)
    for structure in scheme:
        for number in structure.foreign_ids[TOTALSEGMENTATOR_TOTAL]:
            mask.reshape(-1)[number] = structure.id
    return mask


def test_the_whole_set_of_classes_with_those_that_merge(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "d"
    save(data / "s0001/ct.nii.gz", picture(1))
    for name, number in classes().items():
        mask = np.zeros(SHAPE, np.uint8)
        mask.reshape(-1)[number] = 1
        save(data / f"s0001/segmentations/{name}.nii.gz", mask)
    assert len(classes()) == 117
    (data / "meta.csv").write_text("image_id;age;gender;institute\ns0001;62;m;C\n")
    report = import_paths(
        opened,
        [data],
        ImportOptions(pattern=OPTIONS.pattern, masks=OPTIONS.masks, csv=data / "meta.csv"),
    )
    assert (len(report.accepted), report.masks, report.refused) == (1, 1, [])
    assert any("brain" in remark.reason for remark in report.passed_over)
    work(opened)
    (mask,) = stored(opened).values()
    assert np.array_equal(mask, expected(opened.scheme))
    with opened.catalog.read() as session:
        (participant,) = session.scalars(select(Participant))
        assert (participant.code, participant.sex, participant.age) == ("s0001", "M", 62)


@pytest.mark.parametrize("given", ["d", "d/s0001"])
def test_the_pattern_of_masks_says_where_the_images_are(opened: OpenedWorkspace, tmp_path: Path, given: str) -> None:
    save(tmp_path / "d/s0001/ct.nii.gz", picture(1))
    save(tmp_path / "d/s0001/segmentations/liver.nii.gz", boxes(1))
    report = import_paths(opened, [tmp_path / given], ImportOptions(masks="{participant}/segmentations"))
    assert [(entry.participant, entry.sequence) for entry in report.accepted] == [("s0001", "ct")]
    assert (report.masks, report.refused) == (1, [])


def test_the_data_set_is_imported_whole_and_once(opened: OpenedWorkspace, tmp_path: Path) -> None:
    """With its table it is recognised as it lies on the disk, CT and MR; an import that ended early goes on."""
    data = tmp_path / "Totalsegmentator_dataset_v201"
    for number, file in enumerate(("ct.nii.gz", "ct.nii.gz", "mri.nii.gz")):
        save(data / f"s000{number}" / file, picture(number))
        save(data / f"s000{number}/segmentations/liver.nii.gz", boxes(1))
        save(data / f"s000{number}/segmentations/spleen.nii.gz", boxes(0, 1))
    rows = "image_id;age;gender;institute;study_type;split\ns0000;62;m;C;ct thorax;train\ns0001;;f;C;ct;val\ns0002;30;f;C;mr;test\n"
    (data / "meta.csv").write_text("\ufeff" + rows, encoding="utf-8")
    first = import_paths(
        opened, [data / "s0000"], ImportOptions(masks="{participant}/segmentations")
    )  # one of them before
    assert len(first.accepted) == 1
    options = ImportOptions(licence="CC BY 4.0")
    report = import_paths(opened, [data], options)
    assert sorted((entry.participant, entry.sequence) for entry in report.accepted) == [("s0001", "ct"), ("s0002", "")]
    assert (report.refused, report.unchanged, report.masks) == ([], 1, 2)
    again = import_paths(opened, [data], options)
    assert (again.accepted, again.refused, again.unchanged, again.masks) == ([], [], 3, 0)
    work(opened)
    masks = stored(opened)
    assert len(masks) == 3
    values = [0, opened.scheme["liver"].id, opened.scheme["spleen"].id]
    assert all(np.unique(mask).tolist() == sorted(values) for mask in masks.values())
    with opened.catalog.read() as session:
        people = {person.code: (person.sex, person.age) for person in session.scalars(select(Participant))}
        licences = set(session.scalars(select(Examination.licence)))
    assert people == {"s0000": ("M", 62.0), "s0001": ("F", None), "s0002": ("F", 30.0)}
    assert licences == {"CC BY 4.0"}


def test_what_the_program_writes_is_no_data_set(opened: OpenedWorkspace, tmp_path: Path) -> None:
    save(tmp_path / "d/s0001/ct.nii.gz", picture(1))
    for name in ("liver", "spleen"):
        save(tmp_path / f"d/s0001/segmentations/{name}.nii.gz", boxes(1))
    (tmp_path / "d/meta.csv").write_text("name,value\nscanner,3\n")
    report = import_paths(opened, [tmp_path / "d"], ImportOptions())
    assert (len(report.accepted), report.masks, len(report.refused)) == (1, 0, 1)
    assert "--masks" in report.refused[0].reason


def test_a_class_outside_the_scheme_covers_no_structure(opened: OpenedWorkspace, tmp_path: Path) -> None:
    save(tmp_path / "d/s1/ct.nii.gz", picture(1))
    save(tmp_path / "d/s1/segmentations/liver.nii.gz", boxes(1) * 255)
    save(tmp_path / "d/s1/segmentations/skin.nii.gz", boxes(1, 1))
    assert import_paths(opened, [tmp_path / "d"], OPTIONS).refused == []
    work(opened)
    (mask,) = stored(opened).values()
    assert np.array_equal(mask == opened.scheme["liver"].id, boxes(1) == 1)


def test_classes_that_only_this_scheme_merges(tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    rows = ("1\tkidneys\t\t\t2,3,23,24", "2\tlungs\t\t\t10,11,12,13,14")
    labels.write_text("\n".join(("id\tname\tregion\tpaired_with\ttotalsegmentator_total_ids", *rows)) + "\n")
    Workspace.init(tmp_path / "ws", labels)
    workspace = open_workspace(tmp_path / "ws")
    names = ("kidney_cyst_left", "kidney_cyst_right", "kidney_left", "kidney_right", "lung_upper_lobe_left")
    save(tmp_path / "d/s1/ct.nii.gz", picture(1))
    for place, name in enumerate(names):
        mask = np.zeros(SHAPE, np.uint8)
        mask[..., place : place + 2] = 1  # they overlap, which is no conflict within a structure
        save(tmp_path / f"d/s1/segmentations/{name}.nii.gz", mask)
    report = import_paths(workspace, [tmp_path / "d"], OPTIONS)
    assert (report.refused, report.masks) == ([], 1)
    remarks = " ".join(remark.reason for remark in report.passed_over)
    assert "lungs is made of 1 of its classes" in remarks and "kidneys is made" not in remarks
    assert "lung_upper_lobe_left replaced 72 voxels" in remarks
    work(workspace)
    (mask,) = stored(workspace).values()
    workspace.close()
    assert [int(mask[0, 0, k]) for k in range(7)] == [1, 1, 1, 1, 2, 2, 0]


@pytest.mark.parametrize(
    "names", [("kidney_left", "left_kidney"), ("vertebrae_L1", "Vertebrae_L1"), ("liver", "Liver")]
)
def test_one_class_in_two_files_is_refused(opened: OpenedWorkspace, tmp_path: Path, names: tuple[str, str]) -> None:
    save(tmp_path / "d/s1/ct.nii.gz", picture(1))
    for name in names:
        save(tmp_path / f"d/s1/segmentations/{name}.nii.gz", boxes(1))
    report = import_paths(opened, [tmp_path / "d"], OPTIONS)
    assert (len(report.accepted), report.masks) == (1, 0)
    (refused,) = report.refused
    assert all(name in refused.reason for name in names)


def test_segments_of_a_file_that_merge(opened: OpenedWorkspace, tmp_path: Path) -> None:
    save(tmp_path / "d/a.nii.gz", picture(1))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    header = {
        "space": "left-posterior-superior",
        "space origin": lps[:3, 3],
        "space directions": lps[:3, :3].T,
        "kinds": ["domain"] * 3,
    }
    for number, name in enumerate(("vertebrae_S1", "liver", "Sacrum", "vertebrae_L5")):
        fields = {"ID": f"S{number}", "Name": name, "LabelValue": str(number + 1), "Layer": "0"}
        header |= {f"Segment{number}_{key}": value for key, value in fields.items()}
    nrrd.write(str(tmp_path / "d/a.seg.nrrd"), boxes(1, 2, 3, 4), header)
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(masks="{name}.seg.nrrd"))
    assert (len(report.accepted), report.refused, report.masks) == (1, [], 1)
    assert "spine is made of 1 of its classes" in report.passed_over[0].reason
    work(opened)
    (mask,) = stored(opened).values()
    scheme = opened.scheme
    values = [scheme[name].id for name in ("sacrum", "liver", "sacrum", "spine")]
    assert np.array_equal(mask, boxes(*values))
    with opened.catalog.read() as session:
        (job,) = session.scalars(select(Job).where(Job.kind == queue.IMPORT_MASK))
        assert job.error is None
