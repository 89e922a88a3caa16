"""Data sets in folders: what is in them, what a second export writes, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.catalog.types import AnnotationState, SwapState
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput, NotFound, StoredFileError
from mrseg_label.exports.dataset import MaskChoice, Selection, unique_labels
from mrseg_label.exports.files import text_file
from mrseg_label.exports.folder import JOURNAL, LIST, export_folder
from mrseg_label.exports.service import Exported, Form, Options, export
from mrseg_label.exports.whole_body import WholeBodies
from mrseg_label.files import sha256_of
from mrseg_label.workspace import Workspace
from tests.support.stations import AUTHOR, Stored, grid, store_station


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedWorkspace]:
    """One for all tests; what a test changes it puts back."""
    root = tmp_path_factory.mktemp("exports") / "ws"
    Workspace.init(root)
    opened = open_workspace(root)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(workspace: OpenedWorkspace) -> dict[str, Stored]:
    """One participant with three stations, of which two are annotated, and one with a single image that awaits review."""
    found = {}
    for name, bottom in (("pelvis", 0.0), ("abdomen", 28.0), ("thorax", 56.0)):
        geometry = grid(bottom, 10, axcodes="LPS")
        mask = np.zeros(geometry.shape, dtype=np.uint8)
        mask[2:5, 2:4, 3:8] = workspace.scheme["liver"].id
        found[name] = store_station(
            workspace, "sub-P 1", name, geometry, mask=None if name == "thorax" else mask, not_annotated=("aorta",)
        )
    mask = np.full(grid(0, 5).shape, workspace.scheme["spleen"].id, dtype=np.uint8)
    found["new"] = store_station(
        workspace,
        "p2",
        "",
        grid(0, 5),
        mask=mask,
        sequences=("dwi",),
        state=AnnotationState.SUBMITTED,
        session_name="2",
    )
    return found


def run(workspace: OpenedWorkspace, target: Path, form: Form, **selected: object) -> Exported:
    return export(workspace, target, Options(form, Selection(**selected)))  # type: ignore[arg-type]


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_bids_names_sources_and_marks_what_was_propagated(
    workspace: OpenedWorkspace, stored: dict[str, Stored], tmp_path: Path
) -> None:
    done = run(workspace, tmp_path / "out", Form.BIDS)
    subject = "sub-P1x" + unique_labels(["sub-P 1"])["sub-P 1"][-6:]
    images = sorted(path.name for path in (tmp_path / "out" / subject / "anat").glob("*.nii.gz"))
    # Stations are numbered from the head: the thorax, which nobody annotated, is the first.
    assert images == sorted(
        f"{subject}_acq-{sequence}_chunk-{chunk}_{suffix}.nii.gz"
        for sequence in ("in", "water")
        for chunk in (2, 3)
        for suffix in ("T1w", "dseg")
    )
    for sequence, propagated in (("in", False), ("water", True)):
        stem = tmp_path / "out" / subject / "anat" / f"{subject}_acq-{sequence}_chunk-3"
        sidecar = json.loads(Path(f"{stem}_dseg.json").read_text())
        assert (sidecar["Propagated"], sidecar["station"], sidecar["not_annotated"]) == (
            propagated,
            "pelvis",
            ["aorta"],
        )
        assert sidecar["DrawnOnExamination"] == stored["pelvis"].examinations["in"]
        assert sidecar["Sources"] == [f"bids::{subject}/anat/{stem.name}_T1w.nii.gz"]
        image, mask = (nibabel.load(f"{stem}_{suffix}.nii.gz") for suffix in ("T1w", "dseg"))
        np.testing.assert_array_equal(image.affine, mask.affine)
        assert sorted(np.unique(mask.dataobj)) == [0, workspace.scheme["liver"].id]
    assert [row["participant_id"] for row in table(tmp_path / "out" / "participants.tsv")] == [subject]
    assert len(table(tmp_path / "out" / "dseg.tsv")) == len(workspace.scheme)
    assert not any(
        AUTHOR in path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".tsv", ".md")
    )
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card == done.card
    counts = (
        "participants",
        "acquisitions",
        "examinations",
        "examinations_annotated",
        "examinations_with_propagated_mask",
    )
    assert [card[name] for name in (*counts, "readers")] == [1, 2, 4, 2, 2, 1]
    assert card["sex"] == {"F": 1} and card["age_years"]["median"] == 54
    assert card["structures"]["liver"] == {"drawn": 2} and card["structures"]["aorta"] == {"not_annotated": 2}


@pytest.mark.usefixtures("stored")
def test_bids_is_valid(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    program = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    assert program is not None, "the development dependency bids-validator-deno is not installed"
    options = Options(Form.BIDS, Selection(MaskChoice.SUBMITTED), whole_bodies=WholeBodies(wanted=True))
    export(workspace, tmp_path / "out", options)
    assert len(list((tmp_path / "out").rglob("*_desc-wholebody_dseg.nii.gz"))) == 2
    assert (tmp_path / "out" / "sub-p2" / "ses-2" / "anat" / "sub-p2_ses-2_acq-dwi_image.nii.gz").is_file()
    checked = subprocess.run(
        [program, tmp_path / "out", "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(checked.stdout)["issues"]["issues"]
    assert [one for one in issues if one["severity"] == "error"] == []
    assert checked.returncode == 0, checked.stderr


def test_one_folder_a_participant(workspace: OpenedWorkspace, stored: dict[str, Stored], tmp_path: Path) -> None:
    with workspace.catalog.begin() as session:
        session.get_one(Examination, stored["pelvis"].examinations["water"]).swap = SwapState.SUSPECTED
    run(workspace, tmp_path / "out", Form.PARTICIPANTS, masks=MaskChoice.SUBMITTED)
    rows = table(tmp_path / "out" / "cases.tsv")
    assert {
        (row["participant"], row["image"].split("/", 1)[1], row["mask_of_image"], row["annotation_state"])
        for row in rows
    } == {
        ("p2", "2/images/dwi.nii.gz", "annotated", "submitted"),
        ("sub-P 1", "abdomen/in.nii.gz", "annotated", "accepted"),
        ("sub-P 1", "abdomen/water.nii.gz", "propagated", "accepted"),
        ("sub-P 1", "pelvis/in.nii.gz", "annotated", "accepted"),
        ("sub-P 1", "pelvis/water.nii.gz", "without", "accepted"),
    }
    for row in rows:
        image, mask = (nibabel.load(tmp_path / "out" / row[key]) for key in ("image", "mask"))
        np.testing.assert_array_equal(image.affine, mask.affine)
        described = json.loads((tmp_path / "out" / row["mask"].replace(".nii.gz", ".json")).read_text())
        assert described["annotation"] == row["annotation"]
    with workspace.catalog.begin() as session:
        session.get_one(Examination, stored["pelvis"].examinations["water"]).swap = None
    people = [json.loads(file.read_text()) for file in sorted((tmp_path / "out").glob("*/participant.json"))]
    assert [len(one["cases"]) for one in people] == [1, 2]
    assert "Annotated data set" in (tmp_path / "out" / "README.md").read_text()


def test_the_stations_of_a_participant_become_one_body(
    workspace: OpenedWorkspace, stored: dict[str, Stored], tmp_path: Path
) -> None:
    repeated = store_station(workspace, "sub-P 1", "thorax", grid(56, 10, (3.0, 3.0, 4.0)), number=2)
    options = Options(Form.PARTICIPANTS, whole_bodies=WholeBodies(wanted=True, match=True))
    done = export(workspace, tmp_path / "out", options)
    (folder,) = (tmp_path / "out").glob("*/whole-body")
    image, mask = (nibabel.load(folder / f"{name}.nii.gz") for name in ("water", "water_mask"))
    np.testing.assert_array_equal(image.affine, mask.affine)
    assert image.shape == mask.shape == (8, 6, 24)
    described = json.loads((folder / "water.json").read_text())
    assert (described["resampled"], described["left_out"]) == (False, [stored["thorax"].examinations["water"]])
    assert [(one["station"], one["mask"], one["first_index"][2]) for one in described["stations"]] == [
        ("thorax", "without", 14), ("abdomen", "propagated", 7), ("pelvis", "propagated", 0),
    ]  # fmt: skip
    assert described["stations"][0]["examination"] == repeated.examinations["water"]
    assert [one["scaled_by"] for one in described["stations"]] == pytest.approx([1, 1, 1], abs=0.01)
    labels = np.asarray(mask.dataobj)
    liver = workspace.scheme["liver"].id
    assert [bool((labels[..., part] == liver).any()) for part in (slice(3, 8), slice(10, 15), slice(17, None))] == [
        True, True, False,
    ]  # fmt: skip
    again = export(workspace, tmp_path / "out", options)
    assert (again.written, again.unchanged) == (0, done.written)
    plain = export(workspace, tmp_path / "out", Options(Form.PARTICIPANTS))
    assert plain.removed == 6 and not folder.exists()
    with workspace.catalog.begin() as session:
        exclude_row(session.get_one(Acquisition, repeated.acquisition))


def exclude_row(row: Acquisition) -> None:
    row.excluded_at = now()


@pytest.mark.parametrize("form", Form)
def test_a_second_export_writes_nothing_and_follows_what_changed(
    workspace: OpenedWorkspace, stored: dict[str, Stored], tmp_path: Path, form: Form
) -> None:
    first = run(workspace, tmp_path / "out", form)
    before = digests(tmp_path / "out")
    assert first.written == len(before) - 1 and first.removed == first.unchanged == 0  # the list beside them
    times = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*") if path.is_file() and path.name != LIST}
    again = run(workspace, tmp_path / "out", form)
    assert (again.written, again.unchanged, again.removed) == (0, first.written, 0)
    assert times == {path: path.stat().st_mtime_ns for path in times}
    # Somebody edits a file and adds one; a case is withdrawn.
    label = workspace.scheme["liver"].name
    edited = next(path for path in times if path.suffix == ".tsv" and label in path.read_text())
    edited.write_text("edited")
    (first.folder / "mine.txt").write_text("mine")
    withdraw(workspace, stored["pelvis"].acquisition, AnnotationState.REJECTED)
    updated = run(workspace, tmp_path / "out", form)
    withdraw(workspace, stored["pelvis"].acquisition, AnnotationState.ACCEPTED)
    assert updated.removed >= 3 and "edited" not in edited.read_text()
    run(workspace, tmp_path / "out", form)
    assert (first.folder / "mine.txt").is_file()
    (first.folder / "mine.txt").unlink()
    assert digests(tmp_path / "out") == before, "equal data sets give equal bytes"


def withdraw(workspace: OpenedWorkspace, acquisition_id: str, state: AnnotationState) -> None:
    with workspace.catalog.begin() as session:
        moment = now() if state is AnnotationState.ACCEPTED else None
        session.get_one(Acquisition, acquisition_id).annotated_at = moment
        for row in session.query(Annotation).filter_by(acquisition_id=acquisition_id):
            row.state = state


def test_an_export_goes_on_where_a_killed_one_stopped(
    workspace: OpenedWorkspace, stored: dict[str, Stored], tmp_path: Path
) -> None:
    whole = run(workspace, tmp_path / "whole", Form.BIDS)
    damaged = workspace.path(f"annotations/{stored['pelvis'].acquisition}/0001.nii.gz")
    right = damaged.read_bytes()
    damaged.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(StoredFileError, match="damaged"):
        run(workspace, tmp_path / "out", Form.BIDS)
    assert not (tmp_path / "out" / LIST).exists() and (tmp_path / "out" / JOURNAL).exists()
    kept = len(list((tmp_path / "out").rglob("*.nii.gz")))
    with (tmp_path / "out" / JOURNAL).open("a") as journal:
        journal.write('["sub-x/half')  # what a kill leaves of a line
    damaged.write_bytes(right)
    done = run(workspace, tmp_path / "out", Form.BIDS)
    assert kept and done.unchanged >= kept and done.written + done.unchanged == whole.written
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.usefixtures("stored")
def test_what_is_refused(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not in nnunet"):
        export(workspace, tmp_path / "new", Options(Form.NNUNET, whole_bodies=WholeBodies(wanted=True)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(Conflict, match="holds no earlier export"):
        run(workspace, tmp_path / "full", Form.BIDS)
    with pytest.raises(Conflict, match="is a file"):
        run(workspace, tmp_path / "full" / "thesis.txt", Form.BIDS)
    with export_folder(tmp_path / "busy", Form.BIDS) as busy:
        with pytest.raises(Conflict, match="another export writes"):
            run(workspace, tmp_path / "busy", Form.BIDS)
        busy.put(text_file("a.txt", "a"))
        with pytest.raises(InvalidInput, match=r"two images would be exported as a\.txt"):
            busy.put(text_file("a.txt", "b"))
    run(workspace, tmp_path / "out", Form.BIDS)
    with pytest.raises(Conflict, match="export of the form bids, not participants"):
        run(workspace, tmp_path / "out", Form.PARTICIPANTS)
    with pytest.raises(NotFound, match="p2"):
        run(workspace, tmp_path / "out", Form.BIDS, codes=("p2",))  # it awaits review
    with pytest.raises(InvalidInput, match="nifti"):
        export(workspace, tmp_path / "new", Options(Form.BIDS, filled=True))
    hostile = json.dumps(["../thesis.txt", "x", 1, 1])
    (tmp_path / "out" / LIST).write_text((tmp_path / "out" / LIST).read_text() + hostile + "\n")
    (tmp_path / "thesis.txt").write_text("mine")
    run(workspace, tmp_path / "out", Form.BIDS)
    assert (tmp_path / "thesis.txt").is_file()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_labels_are_unique_and_do_not_depend_on_others() -> None:
    labels = unique_labels(["A-1", "A1", "a1", "sub-B", "B", "ü"])
    assert len({label.casefold() for label in labels.values()}) == 6
    assert all(label.isalnum() and label.isascii() for label in labels.values())
    assert unique_labels(["A-1"])["A-1"] == labels["A-1"]
    assert unique_labels(["sub-B"]) == {"sub-B": "B"}
    folders = unique_labels(["P/1", "..", "p_1.x"], folders=True)
    assert folders["p_1.x"] == "p_1.x" and not any("/" in one or one.startswith(".") for one in folders.values())
