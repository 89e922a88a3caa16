"""Structures that were not annotated are never trained on as absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, ModelVersion, Presegmentation, Round
from mrseg_label.catalog.types import ModelStatus, RoundState, StructureState
from mrseg_label.errors import Cancelled, InvalidInput
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.missing_presegmentations import make_missing_presegmentations
from mrseg_label.rounds.snapshot import take_snapshot, training_cases
from mrseg_label.rounds.training_labels import TrainingLabels, make_training_labels
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import SHAPE, add_draft, store_case

Opened = OpenedWorkspace
SCHEME = """id\tname\ttotalsegmentator_total_ids
1\tliver\t5
2\tspleen\t1
3\taorta\t52
4\tcyst\t
"""  # TotalSegmentator has no class for the last


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    labels = tmp_path / "labels.tsv"
    labels.write_text(SCHEME)
    Workspace.init(tmp_path / "ws", labels=labels)
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def completed(opened: Opened, cases: Sequence[str], folder: Path) -> TrainingLabels:
    with opened.catalog.read() as session:
        annotations = [session.query(Annotation).filter_by(acquisition_id=case).one() for case in cases]
        return make_training_labels(opened, session, annotations, folder)


def begin(opened: Opened, number: int = 1) -> Round:
    """Take the snapshot of a round as its job does."""
    with opened.catalog.begin() as session:
        row = rows.get(session, number) or Round(number=number, state=RoundState.SNAPSHOT, profile="smoke")
        session.add(row)
        session.flush()
        take_snapshot(session, row, opened.scheme)
        return row


def half(value: int) -> NDArray[np.uint8]:
    """A pre-segmentation of the half of the grid in which the reader of a stored case annotated nothing."""
    presegmentation = np.zeros(SHAPE, dtype=np.uint8)
    presegmentation[3:] = value
    return presegmentation


def values(case: TrainingCase) -> set[int]:
    return set(np.unique(np.asarray(nibabel.load(case.label).dataobj)).tolist())


def test_a_presegmentation_fills_and_its_model_tells_what_is_absent(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen", "aorta"))
    two = store_case(opened, "p2", drawn="aorta")
    labels = completed(opened, [one, two], tmp_path)
    assert labels.structures == ("liver", "spleen", "aorta")
    first = labels.maps[0]
    # TotalSegmentator knows the aorta and found none.
    assert (first.mask.structures, first.mask.filled_from, first.hidden) == (("spleen",), "bootstrap", ())
    assert labels.record() == {"structures": ["liver", "spleen", "aorta"], "cases_filled_from": {"bootstrap": 1}}
    labels.require_background()


def test_without_a_presegmentation_the_background_is_unknown_if_the_structure_occurs_elsewhere(
    opened: Opened, tmp_path: Path
) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen", "aorta"))
    two = store_case(opened, "p2", drafted=False, drawn="spleen")
    labels = completed(opened, [one, two], tmp_path)
    assert [label.hidden for label in labels.maps] == [("spleen",), ()]
    assert labels.record()["background_ignored"] == {one: ["spleen"]}
    assert list(tmp_path.glob("*.nii.gz")) == []  # nothing was filled


def test_a_model_that_does_not_know_a_structure_cannot_tell_that_it_is_absent(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen", "cyst"))
    two = store_case(opened, "p2", drawn="cyst")
    labels = completed(opened, [one, two], tmp_path)
    assert (labels.maps[0].mask.structures, labels.maps[0].hidden) == (("spleen",), ("cyst",))


@pytest.mark.parametrize(("learned", "hidden"), [(["liver", "aorta"], ("cyst",)), (["liver", "cyst"], ())])
def test_the_model_of_a_round_knows_the_structures_in_its_training_data(
    opened: Opened, tmp_path: Path, learned: list[str], hidden: tuple[str, ...]
) -> None:
    workspace = opened
    one = store_case(opened, "p1", drafted=False, not_annotated=("cyst",))
    two = store_case(opened, "p2", drafted=False, drawn="cyst")
    with workspace.catalog.begin() as session:
        result = {"labels": {"structures": learned}}
        session.add(Round(number=1, state=RoundState.DONE, profile="smoke", result=result))
        session.flush()
        session.add(ModelVersion(version="r1", round_number=1, status=ModelStatus.RETIRED))
        session.flush()
        case = session.get(Acquisition, one)
        assert case is not None
        add_draft(workspace, session, case, half(1), "r1")
    assert completed(opened, [one, two], tmp_path).maps[0].hidden == hidden


def test_a_round_fails_with_a_reason_if_the_background_is_unknown_in_every_case(opened: Opened, tmp_path: Path) -> None:
    store_case(opened, "p1", drafted=False, not_annotated=("spleen",))
    store_case(opened, "p2", drafted=False, drawn="spleen", not_annotated=("liver",))
    with opened.catalog.begin() as session:
        for case in session.query(Acquisition):
            case.participant.held_out = False
    begin(opened)
    with pytest.raises(InvalidInput, match=r"liver, spleen.*empty where absent"):
        training_cases(opened, 1, tmp_path)


def test_a_round_fills_from_the_presegmentation_that_existed_at_its_snapshot(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen", "aorta"))
    with workspace.catalog.begin() as session:
        case = session.get(Acquisition, one)
        assert case is not None
        presegmentation = add_draft(workspace, session, case, half(2)).id
        annotation = session.query(Annotation).one().id
    row = begin(opened)
    assert row.result == {"fill_from": {annotation: presegmentation}}
    digest = row.snapshot_digest
    with workspace.catalog.begin() as session:  # a newer model pre-segments the case between two attempts
        session.add(ModelVersion(version="r9", status=ModelStatus.RETIRED))
        session.flush()
        case = session.get(Acquisition, one)
        assert case is not None
        add_draft(workspace, session, case, half(3), "r9")
    assert begin(opened).snapshot_digest == digest
    cases, record, left_out = training_cases(workspace, 1, tmp_path)
    assert left_out == {}
    assert [values(case) for case in cases] == [{0, 1, 2}] * 2
    assert all(case.background_known for case in cases)
    assert record["labels"]["cases_filled_from"] == {"bootstrap": 1}


def test_snapshots_differ_if_other_structures_were_annotated(opened: Opened) -> None:
    store_case(opened, "p1", not_annotated=("aorta",))
    first = begin(opened).snapshot_digest
    with opened.catalog.begin() as session:
        for item in session.query(Annotation).one().structures:
            if item.structure == "aorta":
                item.state = StructureState.ABSENT
    assert begin(opened, 2).snapshot_digest != first


def test_a_case_without_anything_to_learn_is_left_out_and_named(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("liver", "spleen"))
    two = store_case(opened, "p2", drafted=False, drawn="spleen")
    with opened.catalog.begin() as session:
        annotation = session.query(Annotation).filter_by(acquisition_id=one).one()
        for item in annotation.structures:
            item.voxels = 0
        for case in session.query(Acquisition):
            case.participant.held_out = False
    begin(opened)
    cases, record, left_out = training_cases(opened, 1, tmp_path)
    assert list(left_out.values()) == ["no structure is annotated, and the background is unknown"]
    assert {case.participant for case in cases} == {"p2"}
    assert list(record["labels"]["left_out"]) == [one] and two not in record["labels"]["left_out"]


class _Spleen(LoadedModels):
    """Segments a spleen in the half in which the readers of stored cases annotated nothing."""

    def segment(self, model: ModelVersion, examination: Examination) -> tuple[NDArray[np.uint8], str]:  # noqa: ARG002 - as the base class
        return half(2), f"by {model.version}"


def test_the_current_model_presegments_incomplete_cases_that_have_no_presegmentation(
    opened: Opened, tmp_path: Path
) -> None:
    workspace = opened
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen", "cyst"))
    store_case(opened, "p2", drafted=False, drawn="spleen")  # complete
    store_case(opened, "p3", drafted=False, not_annotated=("cyst",))  # TotalSegmentator has no class for cysts
    store_case(opened, "p4", not_annotated=("spleen",))  # has a pre-segmentation
    store_case(opened, "p5", drafted=False, not_annotated=("spleen",), held_out=True)
    reported: list[tuple[int, int]] = []
    made = make_missing_presegmentations(opened, _Spleen(workspace), lambda: None, lambda *done: reported.append(done))
    assert made == 1 and reported == [(0, 1)]
    with workspace.catalog.read() as session:
        presegmentation = session.query(Presegmentation).filter_by(acquisition_id=one).one()
    workspace.verify(presegmentation.path, presegmentation.digest)
    assert (presegmentation.model_version, presegmentation.source) == ("bootstrap", "by bootstrap")
    assert completed(opened, [one], tmp_path).maps[0].mask.structures == ("spleen",)
    assert make_missing_presegmentations(opened, _Spleen(workspace), lambda: None) == 0


def test_presegmentations_made_before_a_cancellation_are_kept(opened: Opened) -> None:
    workspace = opened
    for code in ("p1", "p2"):
        store_case(opened, code, drafted=False, not_annotated=("spleen",))
    calls = iter([None, None, None])  # before the first case, within it, before the second

    def check() -> None:
        if next(calls, Cancelled("by an admin")) is not None:
            raise Cancelled("by an admin")

    with pytest.raises(Cancelled):
        make_missing_presegmentations(opened, _Spleen(workspace), check)
    with workspace.catalog.read() as session:
        assert session.query(Presegmentation).count() == 1
    assert make_missing_presegmentations(opened, _Spleen(workspace), lambda: None) == 1
