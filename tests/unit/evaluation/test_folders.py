"""Evaluating two folders of masks without a workspace."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.cli import main
from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.evaluation.folders import Evaluated, evaluate_folders
from mrseg_label.evaluation.journal import Journal
from mrseg_label.evaluation.measurements import References, references_of
from mrseg_label.evaluation.pairs import Naming, find_pairs
from mrseg_label.evaluation.schemes import find_scheme
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient
from mrseg_label.imaging.volume import write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import dice, hausdorff95, surface_dice
from mrseg_label.nnunet.dataset_json import PROPAGATED_TABLE

SCHEME = LabelScheme.parse("id\tname\n1\tliver\n2\tspleen\n3\tleft_kidney\n")
SHAPE = (12, 10, 8)
GRID = Geometry(SHAPE, np.diag([-2.0, -2.0, 3.0, 1.0]))


def mask(**places: int) -> NDArray[np.uint8]:
    """A label map with a box of each structure at a place along the first axis."""
    labels = np.zeros(SHAPE, np.uint8)
    for name, start in places.items():
        labels[start : start + 3, 2 + SCHEME[name].id : 5 + SCHEME[name].id, 2:6] = SCHEME[name].id
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases; the second prediction lacks the spleen."""
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    for folder in (predictions, references):
        folder.mkdir()
    for case in ("ada_in", "bob_water"):
        write_nifti(references / f"{case}.nii.gz", mask(liver=1, spleen=5), GRID)
    write_nifti(predictions / "ada_in.nii.gz", mask(liver=2, spleen=5), GRID)
    write_nifti(predictions / "bob_water.nii.gz", mask(liver=1), GRID)
    return predictions, references


def evaluate(folders: tuple[Path, Path], naming: Naming | None = None, **options: Any) -> Evaluated:
    return evaluate_folders(*folders, SCHEME, naming or Naming("mine", "hospital"), **options)


def row(evaluated: Evaluated, case: str, structure: str) -> Any:
    table = evaluated.table
    return table[(table["case"] == case) & (table["structure"] == structure)].iloc[0]


def test_numbers_are_those_of_the_metrics(folders: tuple[Path, Path]) -> None:
    evaluated = evaluate(folders)
    liver = row(evaluated, "ada_in", "liver")
    pair = mask(liver=1, spleen=5), mask(liver=2, spleen=5)
    assert liver["dsc"] == pytest.approx(dice(*pair, 3)[0])
    assert liver["hd95_mm"] == pytest.approx(hausdorff95(*pair, (2, 2, 3), 3)[0])
    assert liver["nsd"] == pytest.approx(surface_dice(*pair, (2, 2, 3), 3, [3.0] * 3)[0])
    assert liver["tolerance_mm"] == 3.0
    assert liver["reference_ml"] == pytest.approx(36 * 12 / 1000)
    assert (liver["model"], liver["data_set"], liver["sequence"]) == ("mine", "hospital", "in")
    missed = row(evaluated, "bob_water", "spleen")
    assert (missed["found"], missed["dsc"], missed["hd95_mm"], missed["nsd"]) == ("missed", 0, math.inf, 0)
    absent = row(evaluated, "ada_in", "left_kidney")
    assert absent["found"] == "absent"
    assert math.isnan(absent["dsc"])
    assert not evaluated.refused


def test_masks_in_another_order_of_axes_and_format_are_paired(folders: tuple[Path, Path]) -> None:
    wanted = evaluate(folders).table
    turned, grid = reorient(mask(liver=2, spleen=5), GRID, "SRA")
    (folders[0] / "ada_in.nii.gz").unlink()
    write_nifti(folders[0] / "ada_in.nii", np.ascontiguousarray(turned), grid)
    assert evaluate(folders).table.equals(wanted)


def test_ids_are_read_by_the_names_of_each_side(folders: tuple[Path, Path]) -> None:
    wanted = row(evaluate(folders), "ada_in", "liver")
    swapped = np.array([0, 7, 4, 9], np.uint8)[mask(liver=2, spleen=5)]
    write_nifti(folders[0] / "ada_in.nii.gz", swapped, GRID)
    write_nifti(folders[0] / "bob_water.nii.gz", swapped, GRID)
    names = {"background": 0, "Spleen": 4, "LIVER": 7, "pancreas": 9}
    (folders[0] / "dataset.json").write_text(json.dumps({"labels": names}))
    evaluated = evaluate(folders)
    assert row(evaluated, "ada_in", "liver")["dsc"] == wanted["dsc"]
    assert row(evaluated, "ada_in", "left_kidney")["found"] == "not predicted"
    assert any("pancreas" in note for note in evaluated.notes)
    # The reference has only one structure, so nothing is said about the others.
    (folders[1] / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "other": 2}}))
    assert row(evaluate(folders), "ada_in", "spleen")["found"] == "not annotated"


def test_a_case_that_cannot_be_measured_is_refused_and_the_others_go_on(folders: tuple[Path, Path]) -> None:
    write_nifti(folders[0] / "ada_in.nii.gz", mask(liver=2), Geometry(SHAPE, np.diag([-2.0, -2.0, 4.0, 1.0])))
    strange = mask(liver=1)
    strange[0, 0, 0] = 77
    write_nifti(folders[1] / "carl.nii.gz", strange, GRID)
    write_nifti(folders[0] / "carl.nii.gz", mask(liver=1), GRID)
    write_nifti(folders[1] / "dora.nii.gz", mask(liver=1), GRID)
    write_nifti(folders[0] / "extra.nii.gz", mask(liver=1), GRID)
    (folders[1] / "edna.nii.gz").write_bytes(b"no image")
    write_nifti(folders[0] / "edna.nii.gz", mask(liver=1), GRID)
    evaluated = evaluate(folders, processes=1)
    assert evaluated.table["case"].unique().tolist() == ["bob_water"]
    reasons = {one.source: one.reason for one in evaluated.refused}
    assert set(reasons) == {"ada_in", "carl", "dora", "edna"}
    assert "does not lie on the grid" in reasons["ada_in"]
    assert "label ids 77" in reasons["carl"]
    assert "no prediction" in reasons["dora"]
    assert any("extra" in note for note in evaluated.notes)


def test_folders_that_cannot_be_paired_are_refused(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    with pytest.raises(InvalidInput, match="no such folder"):
        evaluate((predictions / "none", references))
    (predictions / "dataset.json").write_text('{"labels": {"tumour": 1}}')
    with pytest.raises(InvalidInput, match="has no structure of the label scheme"):
        evaluate(folders)
    write_nifti(references / "ada_in.nii", mask(liver=1), GRID)
    with pytest.raises(InvalidInput, match="two references of one name"):
        evaluate(folders)
    (references / "ada_in.nii").unlink()
    (predictions / "ada_in.nii.gz").rename(predictions / "x.nii.gz")
    (predictions / "bob_water.nii.gz").unlink()
    with pytest.raises(InvalidInput, match=r"predictions are x; references are ada_in, bob_water"):
        evaluate(folders)
    (predictions / "x.nii.gz").unlink()
    with pytest.raises(InvalidInput, match="has no predictions"):
        evaluate(folders)


def test_names_and_a_table_say_whose_a_mask_is(folders: tuple[Path, Path], tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("participant,sex,age\nada,F,61\nbob,M,\nzoe,maybe,3\n")
    pairs = find_pairs(*folders, Naming(pattern="{participant}_{sequence}", participants=people))
    ada, bob = (pair.case for pair in pairs.found)
    assert (ada.participant, ada.sex, ada.age, ada.sequence) == ("ada", "F", 61, "in")
    assert (bob.participant, bob.sex, bob.sequence) == ("bob", "M", "water")
    assert math.isnan(bob.age)
    assert [one.source for one in pairs.refused] == [f"{people}, line 4"]
    without = find_pairs(*folders, Naming(participants=people))
    assert [pair.case.participant for pair in without.found] == ["ada", "bob"]


@pytest.mark.parametrize("place", ["references", "."])
def test_references_of_an_exported_data_set_keep_their_mark(
    folders: tuple[Path, Path], tmp_path: Path, place: str
) -> None:
    table = tmp_path / place / PROPAGATED_TABLE
    table.write_text("case\tdrawn_on\nbob_water\tada_in\n", encoding="utf-8")
    evaluated = evaluate(folders)
    assert row(evaluated, "bob_water", "liver")["propagated_from"] == "ada_in"
    assert row(evaluated, "ada_in", "liver")["propagated_from"] == ""
    assert references_of(evaluated.table) == References(2, 1, 1)
    table.write_text("image\tremark\nbob_water\tblurred\n", encoding="utf-8")  # a table of somebody else
    assert references_of(evaluate(folders).table) == References(2, 0, 2)
    table.write_bytes(b"case\tdrawn_on\n\xff")
    with pytest.raises(InvalidInput, match="export the data set again"):
        evaluate(folders)


def test_two_files_are_a_pair_whatever_their_names(folders: tuple[Path, Path]) -> None:
    evaluated = evaluate((folders[0] / "ada_in.nii.gz", folders[1] / "bob_water.nii.gz"))
    assert evaluated.table["case"].unique().tolist() == ["bob_water"]


def test_an_evaluation_goes_on_where_it_was_cut_off(folders: tuple[Path, Path], tmp_path: Path) -> None:
    journal = Journal(tmp_path / "cases.csv.partial")
    wanted = evaluate(folders, journal=journal).table
    lines = journal.path.read_text().splitlines()
    assert len(lines) == 2
    # As after a kill: one case is finished, and a line was cut off. What is taken over cannot be told from what is measured, so it is marked.
    marked = json.loads(lines[0])
    marked["measured"][0]["nsd"] = 0.123
    journal.path.write_text(f"{json.dumps(marked)}\n{lines[1][:40]}")
    seen: list[tuple[int, int]] = []
    again = evaluate(folders, journal=journal, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert row(again, "ada_in", "liver")["nsd"] == 0.123
    assert again.table.drop(columns="nsd").equals(wanted.drop(columns="nsd"))
    # Another mask, or another spacing, is another measurement.
    other = evaluate(folders, journal=journal, spacing_mm=(4, 4, 3))
    assert row(other, "ada_in", "liver")["nsd"] != 0.123


def test_resampling_is_as_if_the_masks_had_been_coarse(folders: tuple[Path, Path]) -> None:
    coarse = row(evaluate(folders, spacing_mm=(4, 4, 3)), "ada_in", "liver")
    pair = mask(liver=1)[1::2, 1::2], mask(liver=2)[1::2, 1::2]
    assert coarse["dsc"] == pytest.approx(dice(*pair, 3)[0])
    assert coarse["hd95_mm"] == pytest.approx(hausdorff95(*pair, (4, 4, 3), 3)[0])


@pytest.mark.soak
def test_several_processes_give_the_same_table(folders: tuple[Path, Path]) -> None:
    assert evaluate(folders, processes=2).table.equals(evaluate(folders).table)


def test_structures_to_measure_come_from_any_list(tmp_path: Path) -> None:
    listing = tmp_path / "labels.csv"
    listing.write_text("id,name\n5,spleen\n9,liver\n")
    assert find_scheme(listing, tmp_path).names == ("spleen", "liver")
    assert len(find_scheme(None, tmp_path)) == 40
    with pytest.raises(InvalidInput, match="no such label scheme"):
        find_scheme(tmp_path / "none.tsv", tmp_path)
    listing.write_text("id,name\n5,spleen\n5,liver\n")
    with pytest.raises(LabelError):
        find_scheme(listing, tmp_path)


def test_the_commands_evaluate_and_report(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, output = tmp_path / "labels.tsv", tmp_path / "cases.csv"
    labels.write_text(SCHEME.text)
    arguments = ["evaluate", str(folders[0]), "--reference", str(folders[1]), "--labels", str(labels), "--output", str(output), "--workspace", str(tmp_path)]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert printed["structures"]["spleen"]["hd95_infinite"] == 1
    assert printed["structures"]["spleen"]["n"] == 2
    assert printed["cases"][1]["structures"]["spleen"] == {
        "found": "missed", "dsc": 0, "hd95_mm": None, "nsd": 0, "reference_ml": pytest.approx(0.432), "prediction_ml": 0
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "out"), "--cases", str(output), "--format", "md"])
    assert ended.value.code == 0
    assert "2 images of 2 participants" in capsys.readouterr().out
    assert "Table A1" in (tmp_path / "out" / "report.md").read_text()
    write_nifti(folders[1] / "carl.nii.gz", mask(liver=1), GRID)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "refused: carl: there is no prediction" in capsys.readouterr().err
