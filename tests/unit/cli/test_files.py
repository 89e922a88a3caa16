"""Export and backup over real files."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import contents
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StoredFileError
from mrseg_label.evaluation.folders import evaluate_folders
from mrseg_label.evaluation.pairs import Naming
from mrseg_label.files import sha256_of
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.maintenance import backup, restoring
from mrseg_label.rounds.export import ExportFormat, export_dataset
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import AFFINE, SHAPE, store_case, stored_annotation_file
from tests.unit.registry.test_registry import add_version


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def test_nifti_export_has_one_mask_a_case_and_says_what_nobody_vouches_for(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    workspace = opened
    case = store_case(workspace, "p1", not_annotated=("spleen", "aorta"))
    store_case(workspace, "p2", held_out=True)
    done = export_dataset(workspace, tmp_path / "out", ExportFormat.NIFTI)
    assert (done.acquisitions, done.images, done.participants, done.held_out_participants) == (2, 4, 2, 1)
    with (tmp_path / "out" / "cases.tsv").open() as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == sorted(
        {Path(row["mask"]).name for row in table}
    )
    mine = [row for row in table if row["participant"] == "p1"]
    assert {row["mask"] for row in mine} == {f"masks/{case}.nii.gz"}
    assert {(row["sequence"], row["drawn_on_this_channel"]) for row in mine} == {("in", "yes"), ("water", "no")}
    assert {row["not_annotated"] for row in mine} == {"aorta,spleen"}
    assert {(row["participant"], row["held_out"]) for row in table} == {("p1", "no"), ("p2", "yes")}
    for row in table:
        image, mask = (nibabel.load(tmp_path / "out" / row[key]) for key in ("image", "mask"))
        assert image.shape == mask.shape == SHAPE
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
        np.testing.assert_allclose(mask.affine, image.affine)
    assert sha256_of(tmp_path / "out" / f"masks/{case}.nii.gz") == sha256_of(stored_annotation_file(workspace, case))
    with pytest.raises(Conflict, match="not empty"):
        export_dataset(workspace, tmp_path / "out", ExportFormat.NIFTI)


def test_nifti_export_is_filled_from_drafts_only_where_that_is_asked_for(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    workspace = opened
    case = store_case(workspace, "p1", not_annotated=("spleen", "aorta"))
    spleen = workspace.scheme["spleen"].id
    for filled, names in ((False, ""), (True, "spleen")):
        out = tmp_path / f"out-{filled}"
        export_dataset(workspace, out, ExportFormat.NIFTI, filled=filled)
        with (out / "cases.tsv").open() as stream:
            table = list(csv.DictReader(stream, delimiter="\t"))
        assert {(row["filled"], row["filled_from"]) for row in table} == {(names, "bootstrap" if names else "")}
        mask = np.asarray(nibabel.load(out / f"masks/{case}.nii.gz").dataobj)
        assert (mask == spleen).any() == filled
    assert sha256_of(tmp_path / "out-False" / f"masks/{case}.nii.gz") == sha256_of(
        stored_annotation_file(workspace, case)
    )


def test_nnunet_export_is_in_one_orientation_and_shares_no_file_with_the_workspace(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    workspace = opened
    store_case(workspace, "p1", not_annotated=("spleen",))
    elsewhere = store_case(workspace, "p2", held_out=True)
    with workspace.catalog.begin() as session:
        session.get_one(Acquisition, elsewhere).station = "pelvis"  # where its reader found no spleen
    done = export_dataset(workspace, tmp_path / "out", ExportFormat.NNUNET)
    folder = tmp_path / "out" / "Dataset500_mrseg"
    assert done.folder == folder
    content = json.loads((folder / "dataset.json").read_text())
    assert content["numTraining"] == 4
    assert content["labels"] == {"background": 0} | workspace.scheme.label_names | {"ignore": len(workspace.scheme) + 1}
    split = json.loads((folder / "splits_final.json").read_text())
    assert [len(split[0][part]) for part in ("train", "val")] == [2, 2]
    liver, spleen = (workspace.scheme[name].id for name in ("liver", "spleen"))
    for label in (folder / "labelsTr").iterdir():
        image = nibabel.load(folder / "imagesTr" / label.name.replace(".nii.gz", "_0000.nii.gz"))
        mask = nibabel.load(label)
        assert nibabel.aff2axcodes(mask.affine) == ("R", "A", "S")
        np.testing.assert_allclose(mask.affine, image.affine)
        # In the file the liver lies at low x, which is the right side of the body: high x from left to right.
        array = np.asarray(mask.dataobj)
        assert set(np.unique(array[3:])) <= {0, liver} and (array[3:] == liver).sum() == 3 * 5 * 4 - 1
        assert set(np.unique(array[:3])) <= {0, spleen}
    filled = {
        name: (np.asarray(nibabel.load(folder / "labelsTr" / f"{name}.nii.gz").dataobj) == spleen).any()
        for name in content["dataset"]
    }
    assert sorted(filled.values()) == [False, False, True, True], (
        "what p1's reader did not vouch for comes from the draft"
    )
    lines = (folder / "filled.tsv").read_text().splitlines()
    assert lines == [
        "case\tfilled\tfilled_from\tbackground_ignored_for\tplace_ignored_for",
        *sorted(f"{name}\tspleen\tbootstrap\t\t" for name, is_filled in filled.items() if is_filled),
    ]
    assert all(file.stat().st_nlink == 1 for file in folder.rglob("*") if file.is_file())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Dataset500_mrseg"]


def test_nnunet_export_ignores_the_background_in_which_an_unjudged_structure_may_lie(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    workspace = opened
    store_case(workspace, "p1", drafted=False, not_annotated=("spleen", "aorta"))
    store_case(workspace, "p2", drafted=False, drawn="spleen")
    export_dataset(workspace, tmp_path / "out", ExportFormat.NNUNET)
    folder = tmp_path / "out" / "Dataset500_mrseg"
    ignore = json.loads((folder / "dataset.json").read_text())["labels"]["ignore"]
    assert ignore == len(workspace.scheme) + 1
    liver, spleen = (workspace.scheme[name].id for name in ("liver", "spleen"))
    values = [
        tuple(np.unique(np.asarray(nibabel.load(file).dataobj))) for file in sorted((folder / "labelsTr").iterdir())
    ]
    assert sorted(values) == [(0, spleen), (0, spleen), (liver, ignore), (liver, ignore)]
    lines = (folder / "filled.tsv").read_text().splitlines()[1:]
    # No case shows the aorta: nothing is given up for it.
    assert [line.split("\t", 1)[1] for line in lines] == ["\t\t\tspleen"] * 2


def test_export_of_the_primary_channel_alone_and_of_nothing(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    with pytest.raises(InvalidInput, match="nothing is annotated"):
        export_dataset(workspace, tmp_path / "none", ExportFormat.NIFTI)
    store_case(workspace, "p1")
    assert export_dataset(workspace, tmp_path / "out", ExportFormat.NIFTI, primary_only=True).images == 1


def test_an_export_marks_propagated_masks_and_says_what_it_leaves_out(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    cases = {code: store_case(workspace, code) for code in ("p1", "p2")}
    with workspace.catalog.begin() as session:
        images = {
            (code, one.sequence): one.id
            for code in cases
            for one in session.get_one(Acquisition, cases[code]).examinations
        }
    edit_examinations(workspace.catalog, [images["p2", "in"]], {"propagation": "off"}, actor="chief")
    done = export_dataset(workspace, tmp_path / "nifti", ExportFormat.NIFTI)
    assert (done.images, done.propagated, done.left_out) == (3, 1, 1)
    with (tmp_path / "nifti" / "cases.tsv").open() as stream:
        table = {row["examination"]: row["propagated_from"] for row in csv.DictReader(stream, delimiter="\t")}
    drawn = images["p1", "in"]
    assert table == {drawn: "", images["p1", "water"]: drawn, images["p2", "in"]: ""}
    export_dataset(workspace, tmp_path / "nnunet", ExportFormat.NNUNET)
    folder = tmp_path / "nnunet" / "Dataset500_mrseg"
    assert (folder / "propagated.tsv").read_text() == f"case\tdrawn_on\n{images['p1', 'water']}\t{drawn}\n"
    masks = folder / "labelsTr"
    judged = evaluate_folders(masks, masks, workspace.scheme, Naming()).table.drop_duplicates("case")
    marks = dict(zip(judged["case"], judged["propagated_from"], strict=True))
    assert marks == table, "an evaluation against the exported masks keeps the mark"
    for table_of in (folder, tmp_path / "nifti"):
        (line,) = (table_of / "left_out.tsv").read_text().splitlines()[1:]
        assert line.startswith(f"{images['p2', 'water']}\tmasks are not propagated")
    with workspace.catalog.begin() as session:  # what readers open is not what was drawn on
        session.get_one(Acquisition, cases["p2"]).primary_examination_id = images["p2", "water"]
    done = export_dataset(workspace, tmp_path / "opened", ExportFormat.NIFTI, primary_only=True)
    assert (done.images, done.propagated) == (2, 0)


def test_backup_and_restore(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    case = store_case(workspace, "p1")
    add_version(workspace, "r1")
    (workspace.root / "tmp" / "unfinished").write_text("x")
    packed = backup.backup(workspace, tmp_path / "all.tar")
    with tarfile.open(packed.file) as archive:
        names = archive.getnames()
    assert names[-1] == "mrseg.toml" and not any(name.startswith("tmp") for name in names)
    assert len(names) == packed.files
    restoring.restore(tmp_path / "all.tar", tmp_path / "again")
    other = open_workspace(tmp_path / "again")
    with workspace.catalog.read() as ours, other.catalog.read() as theirs:
        assert contents.row_counts(theirs) == contents.row_counts(ours)
        assert contents.stored_files(theirs) == contents.stored_files(ours)
    other.catalog.close()
    assert sha256_of(stored_annotation_file(other, case)) == sha256_of(stored_annotation_file(workspace, case))
    with pytest.raises(Conflict):
        backup.backup(workspace, tmp_path / "all.tar")
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        restoring.restore(tmp_path / "all.tar", tmp_path / "again")


def test_restore_refuses_what_is_damaged_and_leaves_nothing(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    case = store_case(workspace, "p1")
    file = stored_annotation_file(workspace, case)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    backup.backup(workspace, tmp_path / "bad.tar")
    with pytest.raises(StoredFileError, match="0001"):
        restoring.restore(tmp_path / "bad.tar", tmp_path / "again")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "bad.tar").read_bytes()[:5000])
    with pytest.raises(InvalidInput, match="backup"):
        restoring.restore(tmp_path / "cut.tar", tmp_path / "again")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "cut.tar", "../escaped")
    with pytest.raises(InvalidInput, match="cannot be unpacked"):
        restoring.restore(tmp_path / "evil.tar", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "escaped").exists()
    assert not list(tmp_path.glob(".restore-*"))


def test_backup_follows_links_to_images_outside(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    store_case(workspace, "p1")
    image = workspace.path("images/p1/in.nii.gz")
    outside = tmp_path / "outside.nii.gz"
    image.rename(outside)
    image.symlink_to(outside)
    backup.backup(workspace, tmp_path / "all.tar")
    outside.unlink()
    restoring.restore(tmp_path / "all.tar", tmp_path / "again")
    assert (tmp_path / "again" / "images" / "p1" / "in.nii.gz").is_file()
