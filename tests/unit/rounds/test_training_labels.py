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
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Evaluation,
    Examination,
    ModelVersion,
    Participant,
    Presegmentation,
    Round,
)
from mrseg_label.catalog.types import ModelStatus, RoundState, StructureState, SwapState
from mrseg_label.clock import now
from mrseg_label.errors import Cancelled, DamagedModel, InvalidInput
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.nnunet.splits import make_splits
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.loaded_networks import Segmentation
from mrseg_label.rounds.filling_choice import filling_models
from mrseg_label.rounds.missing_presegmentations import make_missing_presegmentations
from mrseg_label.rounds.snapshot import training_cases
from mrseg_label.rounds.take_snapshot import take_snapshot
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


def forget_stations(opened: Opened) -> None:
    """Without a station nothing is known of where a structure occurs."""
    with opened.catalog.begin() as session:
        session.query(Acquisition).update({"station": ""})


def begin(opened: Opened, number: int = 1) -> Round:
    """Take the snapshot of a round as its job does."""
    with opened.catalog.begin() as session:
        row = rows.get(session, number) or Round(number=number, state=RoundState.SNAPSHOT, profile="smoke")
        session.add(row)
    take_snapshot(opened.catalog, number, opened)
    with opened.catalog.read() as session:
        found = rows.get(session, number)
        assert found is not None
        return found


def half(value: int) -> NDArray[np.uint8]:
    """A pre-segmentation of the half of the grid in which the reader of a stored case annotated nothing."""
    presegmentation = np.zeros(SHAPE, dtype=np.uint8)
    presegmentation[3:] = value
    return presegmentation


def values(case: TrainingCase) -> set[int]:
    return set(np.unique(np.asarray(nibabel.load(case.label).dataobj)).tolist())


def test_a_presegmentation_fills_and_its_silence_does_not_mean_absent(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen", "aorta"))
    two = store_case(opened, "p2", drawn="aorta")
    forget_stations(opened)
    labels = completed(opened, [one, two], tmp_path)
    assert labels.structures == ("liver", "spleen", "aorta")
    first = labels.maps[0]
    # TotalSegmentator knows the aorta and found none; that alone is no evidence that there is none.
    assert (first.mask.structures, first.mask.filled_from, first.hidden) == (("spleen",), "bootstrap", ("aorta",))
    assert labels.record() == {
        "structures": ["liver", "spleen", "aorta"],
        "cases_filled_from": {"bootstrap": 1},
        "filled": {one: {"spleen": "bootstrap"}},
        "background_ignored": {one: ["aorta"]},
    }
    labels.require_background()


def test_what_was_filled_from_a_mixed_draft_is_named_after_the_source_of_the_structure(
    opened: Opened, tmp_path: Path
) -> None:
    case = store_case(opened, "p1", not_annotated=("spleen",))
    with opened.catalog.begin() as session:
        (draft,) = session.query(Presegmentation)
        draft.details = {
            "mixture": {"structures": {"spleen": "r2", "liver": "TotalSegmentator inverted"}, "sources": {"r2": "r2"}}
        }
    assert completed(opened, [case], tmp_path).maps[0].mask.filled == {"spleen": "r2"}


def test_what_was_judged_and_nobody_has_is_taken_to_be_absent(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("aorta",))
    other = store_case(opened, "other", drafted=False)
    elsewhere = store_case(opened, "p9", drafted=False, drawn="aorta")
    move_to_pelvis(opened, elsewhere)
    labels = completed(opened, [one, other, elsewhere], tmp_path)
    assert (labels.maps[0].hidden, labels.maps[0].unexpected) == ((), ("aorta",))
    assert labels.record()["taken_as_absent"] == {one: ["aorta"]}
    nobody_asked = completed(opened, [one, elsewhere], tmp_path)
    assert (nobody_asked.maps[0].hidden, nobody_asked.maps[0].unexpected) == (("aorta",), ())
    forget_stations(opened)
    assert completed(opened, [one, other, elsewhere], tmp_path).maps[0].hidden == ("aorta",)


def test_a_draft_is_not_believed_that_finds_what_nobody_has_at_the_station(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen",))
    others = [store_case(opened, f"other{n}", drafted=False) for n in range(2)]
    elsewhere = store_case(opened, "p9", drafted=False, drawn="spleen")
    too = store_case(opened, "p8", drafted=False, drawn="spleen")
    move_to_pelvis(opened, elsewhere, too)

    def first(cases: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
        label_map = completed(opened, cases, tmp_path).maps[0]
        return dict(label_map.mask.filled), label_map.unexpected

    assert first([one, elsewhere]) == (
        {"spleen": "bootstrap"},
        (),
    )  # nobody was asked here, and one elsewhere is little
    nobody_asked = completed(opened, [one, elsewhere, too], tmp_path).maps[0]
    assert (nobody_asked.mask.filled, nobody_asked.hidden) == ({}, ("spleen",))
    assert first([one, others[0], elsewhere]) == ({}, ("spleen",))
    assert first([one, *others, elsewhere]) == ({}, ("spleen",))
    with opened.catalog.begin() as session:
        session.query(Participant).update({"held_out": False})
    assert begin(opened).result["filling"] == {}
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True, drafted=False)
    judge(opened, "bootstrap", "spleen", 0.6)
    assert first([one, *others, elsewhere])[0] == {}
    judge(opened, "bootstrap", "spleen", 0.9)  # a model that is known to be good may have found a rare one
    assert first([one, *others, elsewhere]) == ({"spleen": "bootstrap"}, ())


def move_to_pelvis(opened: Opened, *cases: str) -> None:
    """Say that cases are of another station than all others."""
    with opened.catalog.begin() as session:
        session.query(Acquisition).filter(Acquisition.id.in_(cases)).update({"station": "pelvis"})


def test_only_the_possible_place_of_a_structure_is_ignored(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen",))
    others = [store_case(opened, f"other{n}", drafted=False, drawn="spleen", at=(slice(4, 6),)) for n in range(3)]
    labels = completed(opened, [one, *others], tmp_path)
    first = labels.maps[0]
    assert (first.hidden, first.placed, first.background_known, first.partly_ignored) == ((), ("spleen",), True, True)
    assert labels.record()["place_ignored"] == {one: ["spleen"]}
    voxels = np.asarray(nibabel.load(first.mask.path).dataobj)
    ignore = len(opened.scheme) + 1
    # The others' spleen lies in the last two planes of the first axis; the margin is wider than this small grid.
    assert set(np.unique(voxels)) == {1, ignore}
    assert (voxels[0, 1:] == 1).all() and voxels[0, 0, 0] == ignore
    nearby = completed(opened, [one, others[0]], tmp_path).maps[0]  # one is enough
    assert (nearby.hidden, nearby.placed) == ((), ("spleen",))
    forget_stations(opened)
    assert completed(opened, [one, *others], tmp_path).maps[0].hidden == ("spleen",)


def test_without_a_presegmentation_the_background_is_unknown_if_the_structure_occurs_elsewhere(
    opened: Opened, tmp_path: Path
) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen", "aorta"))
    two = store_case(opened, "p2", drafted=False, drawn="spleen")
    forget_stations(opened)
    labels = completed(opened, [one, two], tmp_path)
    assert [label.hidden for label in labels.maps] == [("spleen",), ()]
    assert labels.record()["background_ignored"] == {one: ["spleen"]}
    assert list(tmp_path.glob("*.nii.gz")) == []  # nothing was filled


def test_a_model_that_does_not_know_a_structure_cannot_tell_that_it_is_absent(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen", "cyst"))
    two = store_case(opened, "p2", drawn="cyst")
    forget_stations(opened)
    labels = completed(opened, [one, two], tmp_path)
    assert (labels.maps[0].mask.structures, labels.maps[0].hidden) == (("spleen",), ("cyst",))


KEY = ("model_version", "annotation_id", "examination_id")


def judge(opened: Opened, version: str, structure: str, dsc: float, cases: int = 3) -> None:
    """Let held-out cases say how good a version is at a structure."""
    with opened.catalog.begin() as session:
        held_out = (
            session.query(Annotation).join(Acquisition).join(Participant).filter(Participant.held_out.is_(True)).all()
        )
        for annotation in held_out[:cases]:
            key = (version, annotation.id, annotation.examination_id)
            row = session.get(Evaluation, key)
            values = {**(row.dsc if row else {}), structure: dsc}
            session.merge(Evaluation(**dict(zip(KEY, key, strict=True)), mean_dsc=dsc, dsc=values))


def add_version(opened: Opened, version: str, structures: Sequence[str], cases: Sequence[str], value: int) -> None:
    """Add a version that a round trained, current from now on, with drafts of some cases."""
    number = int(version[1:])
    with opened.catalog.begin() as session:
        result = {"labels": {"structures": list(structures)}}
        session.add(Round(number=number, state=RoundState.DONE, profile="smoke", result=result))
        session.query(ModelVersion).filter_by(status=ModelStatus.CURRENT).update({"status": ModelStatus.RETIRED})
        session.flush()
        status = ModelStatus.CURRENT
        session.add(ModelVersion(version=version, round_number=number, status=status, path="x", promoted_at=now()))
        session.flush()
        for case in cases:
            acquisition = session.get(Acquisition, case)
            assert acquisition is not None
            add_draft(opened, session, acquisition, half(value), version)


def test_a_structure_is_filled_from_the_newest_model_that_knows_it_well(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen", "aorta"))
    two = store_case(opened, "p2", drawn="aorta")
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True)
    forget_stations(opened)

    def first() -> tuple[dict[str, str], tuple[str, ...]]:
        label_map = completed(opened, [one, two], tmp_path).maps[0]
        return dict(label_map.mask.filled), label_map.hidden

    assert first() == ({"spleen": "bootstrap"}, ("aorta",))  # nobody knows better
    judge(opened, "bootstrap", "spleen", 0.3, cases=2)
    assert first()[0] == {"spleen": "bootstrap"}  # two cases are no evidence
    judge(opened, "bootstrap", "spleen", 0.3)
    assert first() == ({}, ("aorta",))  # the spleen is known to be bad; no case has one, so nothing is lost
    add_version(opened, "r1", ["spleen", "aorta"], [one], value=2)
    assert first()[0] == {}  # a newer model of which nothing is known is no reason to believe it
    judge(opened, "r1", "spleen", 0.5)
    judge(opened, "bootstrap", "spleen", 0.6)
    assert first()[0] == {"spleen": "bootstrap"}  # neither knows it well, but it is usable: the better one
    judge(opened, "bootstrap", "spleen", 0.8)
    judge(opened, "r1", "spleen", 0.75)
    assert first() == ({"spleen": "r1"}, ("aorta",))  # both know it well: the newer one
    add_version(opened, "r2", ["spleen", "aorta"], [one], value=3)
    judge(opened, "r2", "spleen", 0.5)
    judge(opened, "r2", "aorta", 0.8)
    assert first()[0] == {"aorta": "r2"}  # and the spleen of r1 gives way, since it lies in the same voxels


def test_models_of_several_versions_fill_one_case(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen", "aorta"))
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True, drafted=False)
    add_version(opened, "r1", ["spleen"], [], value=0)
    add_version(opened, "r2", ["aorta"], [], value=0)
    judge(opened, "r1", "spleen", 0.9)
    judge(opened, "r2", "aorta", 0.9)
    with opened.catalog.begin() as session:
        case = session.get(Acquisition, one)
        assert case is not None
        draft = half(0)
        draft[3:5] = 2
        add_draft(opened, session, case, draft, "r1")
        draft = half(0)
        draft[4:6] = 3
        add_draft(opened, session, case, draft, "r2")
    labels = completed(opened, [one], tmp_path)
    mask = labels.maps[0].mask
    assert (mask.filled, mask.filled_from) == ({"spleen": "r1", "aorta": "r2"}, "r1,r2")
    voxels = np.asarray(nibabel.load(mask.path).dataobj)
    assert (voxels[3] == 2).all() and (voxels[4:] == 3).all()  # the newer draft wins
    row = begin(opened, 7)
    with opened.catalog.read() as session:
        drafts = {one.model_version: one.id for one in session.query(Presegmentation)}
        annotation = session.query(Annotation).filter_by(acquisition_id=one).one().id
    assert row.result["filling"] == {annotation: {"spleen": drafts["r1"], "aorta": drafts["r2"]}}
    assert row.result["filling_scores"]["aorta"] == {"r2": {"dsc": 0.9, "cases": 3, "evidence": "held_out"}}


@pytest.mark.parametrize(("learned", "filled"), [(["liver", "aorta"], ()), (["liver", "cyst"], ("cyst",))])
def test_the_model_of_a_round_knows_the_structures_in_its_training_data(
    opened: Opened, tmp_path: Path, learned: list[str], filled: tuple[str, ...]
) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("cyst",))
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True, drafted=False)
    add_version(opened, "r1", learned, [one], value=4)
    judge(opened, "r1", "cyst", 0.9)
    add_version(opened, "r2", ["liver"], [], value=0)
    assert completed(opened, [one], tmp_path).maps[0].mask.structures == filled
    with opened.catalog.read() as session:
        known = filling_models(opened, session)
    assert known.good.get("cyst", ()) == (("r1",) if filled else ())


def test_the_first_cases_train_although_none_shows_its_whole_background(opened: Opened, tmp_path: Path) -> None:
    """In every case another case's structure was not annotated, and no draft has it."""
    one = store_case(opened, "p1", not_annotated=("aorta",))
    two = store_case(opened, "p2", drawn="aorta", not_annotated=("cyst",))
    three = store_case(opened, "p3", drawn="cyst", drafted=False, not_annotated=("aorta",))
    labels = completed(opened, [one, two, three], tmp_path)
    assert [label.placed for label in labels.maps] == [("aorta",), ("cyst",), ("aorta",)]
    labels.require_background()
    ignore = len(opened.scheme) + 1
    assert all(ignore in np.unique(np.asarray(nibabel.load(one.mask.path).dataobj)) for one in labels.maps)
    forget_stations(opened)
    # A last resort: a model that knows the aorta found none in the first case.
    labels = completed(opened, [one, two, three], tmp_path)
    assert labels.record()["taken_as_absent"] == {one: ["aorta"]}
    assert [label.hidden for label in labels.maps] == [(), ("cyst",), ("aorta",)]
    labels.require_background()


def test_a_round_fails_with_a_reason_if_the_background_is_unknown_in_every_case(opened: Opened, tmp_path: Path) -> None:
    store_case(opened, "p1", drafted=False, not_annotated=("spleen",))
    store_case(opened, "p2", drafted=False, drawn="spleen", not_annotated=("liver",))
    forget_stations(opened)
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
    filling = {"spleen": presegmentation, "aorta": presegmentation}
    assert row.result == {"filling": {annotation: filling}, "filling_scores": {}, "propagated": 1}
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
    with workspace.catalog.begin() as session:  # a round whose snapshot was taken by version 0.1.0
        old = session.get(Round, 1)
        assert old is not None
        old.result = {"fill_from": {annotation: presegmentation}}
    assert training_cases(workspace, 1, tmp_path)[1] == record


def test_images_in_which_fat_and_water_may_be_exchanged_are_not_learned_from(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1")

    def decide(swap: SwapState | None) -> str:
        with opened.catalog.begin() as session:
            water = session.query(Examination).filter_by(acquisition_id=one, sequence="water").one()
            water.swap = swap
            return water.id

    water = decide(SwapState.SUSPECTED)
    row = begin(opened)
    decide(SwapState.NONE)  # it holds for the next snapshot; this one is fixed
    cases, _, _ = training_cases(opened, 1, tmp_path)
    assert len(cases) == 1 and water not in {case.case_id for case in cases}
    with opened.catalog.read() as session:
        entries = session.get_one(Round, 1).result["left_out"]
    assert [entry["examination"] for entry in entries] == [water] and "--swap confirmed|none" in entries[0]["reason"]
    second = begin(opened, 2)
    assert len(training_cases(opened, 2, tmp_path)[0]) == 2
    assert second.snapshot_digest != row.snapshot_digest
    decide(SwapState.CONFIRMED)
    begin(opened, 3)
    assert len(training_cases(opened, 3, tmp_path)[0]) == 1


def test_a_snapshot_has_the_images_that_carry_the_mask_and_says_what_is_propagated(
    opened: Opened, tmp_path: Path
) -> None:
    store_case(opened, "p1")
    one = store_case(opened, "p2")
    with opened.catalog.read() as session:
        drawn, water = (
            session.query(Examination).filter_by(acquisition_id=one, sequence=name).one().id for name in ("in", "water")
        )
    rounds = {}
    decisions: tuple[dict[str, str], ...] = (
        {},
        {"propagation": "off"},
        {"propagation": "on"},
        {"misregistration": "confirmed"},
        {"misregistration": "none"},
    )
    for number, values in enumerate(decisions, start=1):
        if values:
            edit_examinations(opened.catalog, [water], values, actor="chief")
        rounds[number] = begin(opened, number)
        cases = {case.case_id for case in training_cases(opened, number, tmp_path)[0]}
        assert (
            drawn in cases and (water in cases) == (number in (1, 3, 5)) and len(cases) == (4 if water in cases else 3)
        )
    assert [row.result["propagated"] for row in rounds.values()] == [2, 1, 2, 1, 2]
    assert rounds[2].result["not_labelled"].keys() == {water} == rounds[4].result["not_labelled"].keys()
    assert "not_labelled" not in rounds[3].result and rounds[2].snapshot_digest == rounds[4].snapshot_digest
    assert rounds[1].snapshot_digest == rounds[3].snapshot_digest != rounds[2].snapshot_digest


def test_all_images_of_a_participant_are_in_one_fold(opened: Opened, tmp_path: Path) -> None:
    for code in ("p1", "p2", "p3", "p1 pelvis"):
        store_case(opened, code, channels=("in", "opp", "fat", "water"))
    with opened.catalog.begin() as session:
        first, pelvis = (session.query(Participant).filter_by(code=code).one() for code in ("p1", "p1 pelvis"))
        session.query(Acquisition).filter_by(participant_id=pelvis.id).one().participant = first
    begin(opened)
    cases = {case.case_id: case for case in training_cases(opened, 1, tmp_path)[0]}
    assert len(cases) == 16  # four acquisitions of four series each
    positions = {case.participant: case.fold_position or 0 for case in cases.values()}
    people = {name: case.participant for name, case in cases.items()}
    for split in make_splits(people, folds=3, positions=positions):
        trained, validated = ({people[name] for name in split[side]} for side in ("train", "val"))
        assert len(validated) == 1 and not trained & validated
        assert len(split["val"]) == (8 if validated == {"p1"} else 4)


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
    forget_stations(opened)
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

    def _segment(self, model: ModelVersion, examination: Examination, fold: int | None) -> tuple[Segmentation, str]:  # noqa: ARG002 - as the base class
        return Segmentation(half(2)), f"by {model.version}"


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


def test_a_better_model_drafts_annotated_cases_again_before_the_snapshot(opened: Opened, tmp_path: Path) -> None:
    one = store_case(opened, "p1", not_annotated=("spleen",))
    store_case(opened, "p2")  # complete: no draft of it is made
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True, not_annotated=("spleen",))
    add_version(opened, "r1", ["liver", "spleen"], [], value=0)
    judge(opened, "r1", "spleen", 0.9)
    first = begin(opened, 7).snapshot_digest
    assert completed(opened, [one], tmp_path).maps[0].mask.not_found == ("spleen",)  # r1 has not drafted it yet
    assert make_missing_presegmentations(opened, _Spleen(opened), lambda: None) == 1
    assert completed(opened, [one], tmp_path).maps[0].mask.filled == {"spleen": "r1"}
    row = begin(opened, 8)
    assert row.snapshot_digest != first
    assert set(row.result["filling"]) == {a.id for a in _annotations(opened, one)}  # held-out cases are never filled
    assert make_missing_presegmentations(opened, _Spleen(opened), lambda: None) == 0


class _Unavailable(_Spleen):
    def _segment(self, model: ModelVersion, examination: Examination, fold: int | None) -> tuple[Segmentation, str]:
        if model.version == "r2":
            raise DamagedModel("its weights are gone")
        return super()._segment(model, examination, fold)


def test_an_older_model_that_knows_the_structure_stands_in_for_one_that_cannot_run(
    opened: Opened, tmp_path: Path
) -> None:
    one = store_case(opened, "p1", drafted=False, not_annotated=("spleen",))
    for n in range(3):
        store_case(opened, f"test{n}", held_out=True)
    for version in ("r1", "r2"):
        add_version(opened, version, ["spleen"], [], value=0)
        judge(opened, version, "spleen", 0.9)
    make_missing_presegmentations(opened, _Unavailable(opened), lambda: None)
    assert completed(opened, [one], tmp_path).maps[0].mask.filled == {"spleen": "r1"}


def _annotations(opened: Opened, case: str) -> Sequence[Annotation]:
    with opened.catalog.read() as session:
        return session.query(Annotation).filter_by(acquisition_id=case).all()


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
