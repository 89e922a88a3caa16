"""What a reviewer in Slicer sends decides what it should, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from mrseg_label.annotation import review
from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.remarks import Fields, delete_label, note
from mrseg_label.annotation.versions import save_version
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import reviewing, reviews
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Review
from mrseg_label.catalog.types import AnnotationState, Role, StructureState
from mrseg_label.errors import Forbidden, InvalidInput, LabelError, NotFound
from mrseg_label.reports.reviewing import Label, read_label_to_show, read_review_cases, read_sent_back
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case, mask_to_start_from
from tests.support.annotation_house import GRID, House, draft_array, make_house

FINAL = reviewing.FINAL
RITA, BEN, ALICE = (Reader.signed_in(name, Role.REVIEWER) for name in ("rita", "ben", "alice"))


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "on"\nREVIEW = "required"\n{database_settings}')


@pytest.fixture
def unreviewed(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "on"\n')


def annotate(house: House, author: str = "alice", corner: int = 1) -> Submitted:
    array = draft_array()
    array[3, 0, corner] = 1
    return house.send(array, *house.workspace.scheme.names[:5], client=author, user=author)


def version(
    house: House, reviewer: Reader, number: int = 1, corner: int = 5, fields: Fields | None = None
) -> Submitted:
    """Save a version as Slicer writes it: with the names of its segments, under values of its own."""
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[0:2], array[4:6] = 9, 3
    array[3, 3, corner] = 9
    file = house.folder / f"version-{corner}.nrrd"
    header: dict[str, object] = {
        "space": "right-anterior-superior", "space directions": GRID.affine[:3, :3].T, "space origin": GRID.affine[:3, 3],
    }  # fmt: skip
    for k, (name, value) in enumerate((("liver", 3), ("spleen", 9))):
        header |= {f"Segment{k}_ID": name, f"Segment{k}_Name": name, f"Segment{k}_LabelValue": str(value), f"Segment{k}_Layer": "0"}  # fmt: skip
    nrrd.write(str(file), array, header)
    listed = [{"name": name} for name in house.workspace.scheme.names]  # of the annotation, not of the file
    return save_version(
        house.workspace, reviewer, number, fields or Fields(edited_at=70), examination_id=house.examination,
        upload=file, file_name=file.name, label_info=listed,
    )  # fmt: skip


def state(house: House, annotation_id: str) -> AnnotationState:
    with house.catalog.read() as session:
        return session.get_one(Annotation, annotation_id).state


def final(house: House) -> str | None:
    with house.catalog.read() as session:
        found = rows.final(session, house.acquisition)
        return found.id if found else None


def labels(house: House, reader: Reader = BEN) -> dict[int, Label]:
    (case,) = read_review_cases(house.catalog, reader, unreviewed=True)
    return {label.tag: label for label in case.labels}


def say(house: House, reader: Reader, tag: int = FINAL, **fields: Any) -> str:
    return note(house.catalog, reader, house.acquisition, tag, Fields(**fields)).id


def test_a_new_decision_replaces_the_earlier_one_and_a_repetition_none(house: House) -> None:
    sent = annotate(house).annotation_id
    flagged: dict[str, Any] = {"status": "flagged", "comment": "liver", "approved_by": "rita", "edited_at": 100}
    say(house, RITA, **flagged)
    assert state(house, sent) is AnnotationState.REJECTED
    told = labels(house)[FINAL].fields
    assert told == Fields("flagged", "", "rita", "liver", 100)
    say(house, BEN, status="approved", edited_at=200)
    assert state(house, sent) is AnnotationState.ACCEPTED and final(house) == sent
    # Rita's Slicer still has the first answer, and sends it again when she changes something else.
    say(house, RITA, **flagged)
    assert state(house, sent) is AnnotationState.ACCEPTED
    say(house, RITA, **flagged, level="hard")
    assert labels(house)[FINAL].fields == Fields("approved", "hard", "ben", "", 200)
    say(house, RITA, **flagged | {"edited_at": 300})  # a decision of her own
    assert state(house, sent) is AnnotationState.REJECTED
    say(house, BEN, status="approved", edited_at=300)  # within the same second
    say(house, RITA, **flagged | {"edited_at": 300})
    assert state(house, sent) is AnnotationState.REJECTED
    with house.catalog.read() as session:
        times = [row.created_at for row in reviews.of_annotation(session, sent)]
    assert len(times) == 5 and times == sorted(set(times))


def test_what_was_decided_elsewhere_is_told_and_not_undone_by_a_repetition(house: House) -> None:
    sent = annotate(house).annotation_id
    review.reject(house.catalog, sent, reviewer="rita", comment="the spleen")
    told = labels(house)[FINAL].fields
    assert (told.status, told.approved_by, told.comment) == ("flagged", "rita", "the spleen")
    say(house, BEN, status="approved", edited_at=(told.edited_at or 0) + 5)
    again: dict[str, Any] = {
        "status": told.status,
        "approved_by": "rita",
        "comment": told.comment,
        "edited_at": told.edited_at,
    }
    say(house, RITA, **again)
    assert state(house, sent) is AnnotationState.ACCEPTED


def test_other_statuses_and_a_level_alone_decide_nothing_and_are_kept(house: House) -> None:
    sent = annotate(house).annotation_id
    say(house, RITA, level="medium")
    say(house, RITA, status="ask the ward", comment="where is the clip?")
    assert state(house, sent) is AnnotationState.SUBMITTED
    told = labels(house)[FINAL].fields
    assert (told.status, told.level, told.comment, told.approved_by) == ("ask the ward", "medium", "where is the clip?", "rita")  # fmt: skip
    say(house, BEN, status="approved")
    told = labels(house)[FINAL].fields
    assert (told.status, told.level, told.comment, told.approved_by) == ("approved", "medium", "", "ben")
    say(house, ALICE, level="easy")  # its author may say that
    assert labels(house)[FINAL].fields.level == "easy" and state(house, sent) is AnnotationState.ACCEPTED


def test_nobody_decides_about_their_own_annotation(house: House) -> None:
    annotate(house)
    with pytest.raises(Forbidden, match="another reader must review"):
        say(house, ALICE, status="approved", approved_by="rita")
    version(house, RITA)
    with pytest.raises(Forbidden):
        say(house, RITA, 1, status="approved", approved_by="ben")
    assert final(house) is None
    nobody = Reader()
    with pytest.raises(Forbidden):  # without sign-in by the name that is sent
        say(house, nobody, 1, status="approved", approved_by="rita")
    say(house, nobody, 1, status="approved", approved_by="ben")


def test_a_decision_is_about_the_annotation_that_was_shown(house: House) -> None:
    first = annotate(house).annotation_id
    assert read_label_to_show(house.catalog, house.acquisition, FINAL, RITA).id == first
    second = annotate(house, corner=2).annotation_id
    say(house, RITA, status="approved")
    assert (state(house, first), state(house, second)) == (AnnotationState.ACCEPTED, AnnotationState.SUBMITTED)
    assert labels(house)[FINAL].annotation.id == second
    say(house, RITA, status="flagged")  # nothing was shown since: the newest
    assert state(house, second) is AnnotationState.REJECTED


def test_a_version_counts_once_another_reviewer_accepts_it(unreviewed: House) -> None:
    house = unreviewed
    sent = annotate(house).annotation_id
    saved = version(house, RITA, fields=Fields(status="approved", level="hard", edited_at=60)).annotation_id
    assert state(house, saved) is AnnotationState.SUBMITTED and final(house) == sent
    found = labels(house)
    assert list(found) == [FINAL, 1] and found[FINAL].annotation.id == sent
    assert found[1].fields == Fields("", "hard", "rita", "", 60)  # the status is none of hers
    with house.catalog.read() as session:
        row = session.get_one(Annotation, saved)
        judged = {item.structure: item.voxels for item in row.structures if item.state is not StructureState.FILLED and item.state.judged}  # fmt: skip
        assert judged == {"spleen": 2 * 56 + 1, "liver": 2 * 56}
        assert row.report["began_from"] == sent and row.is_final and row.seconds is None
    say(house, BEN, 1, status="approved")
    assert final(house) == saved
    found = labels(house)
    assert found[FINAL].annotation.id == saved and found[FINAL].fields.status == "approved"
    delete_label(house.catalog, RITA, house.acquisition, 1)
    assert final(house) == sent and list(labels(house)) == [FINAL]
    with pytest.raises(NotFound):
        delete_label(house.catalog, RITA, house.acquisition, 1)


def test_an_overwritten_version_is_withdrawn_unless_it_is_anothers_or_was_decided(house: House) -> None:
    annotate(house)
    first, second = version(house, RITA).annotation_id, version(house, RITA, corner=6).annotation_id
    assert (state(house, first), state(house, second)) == (AnnotationState.REJECTED, AnnotationState.SUBMITTED)
    third = version(house, BEN, corner=2).annotation_id
    assert state(house, second) is AnnotationState.SUBMITTED
    assert labels(house)[1].annotation.id == third
    assert len([*(house.workspace.root / "annotations").rglob("*.upload.seg.nrrd")]) == 3
    delete_label(house.catalog, BEN, house.acquisition, 1)
    assert labels(house)[1].annotation.id == second


def test_a_rejection_reaches_its_author_beside_a_version(house: House) -> None:
    sent = annotate(house).annotation_id
    version(house, RITA)
    say(house, RITA, status="flagged", comment="the liver\nleaks")
    (back,) = read_sent_back(house.catalog, "alice", 5)
    assert (back.examination_id, back.reviewer, back.comment) == (house.examination, "rita", "the liver\nleaks")
    assert read_sent_back(house.catalog, "ben", 5) == []
    assert assign_next_case(house.workspace, ALICE, "balanced") is not None
    start = mask_to_start_from(house.catalog, ALICE, house.acquisition)
    assert start is not None and (start[0].id, start[1]) == (sent, "the liver\nleaks")
    assert annotate(house, corner=4).is_final
    assert read_sent_back(house.catalog, "alice", 5) == []


@pytest.mark.parametrize("decisions", [("flagged", "approved"), ("flagged",)])
def test_what_was_flagged_and_then_withdrawn_does_not_come_back(house: House, decisions: tuple[str, ...]) -> None:
    annotate(house)
    for second, status in enumerate(decisions):
        say(house, RITA, status=status, edited_at=second)
    delete_label(house.catalog, RITA, house.acquisition, FINAL)
    assert read_sent_back(house.catalog, "alice", 5) == []
    with house.catalog.read() as session:
        assert reviews.sent_back(session, house.catalog.now(session)) == []
        assert session.query(Review).count() == len(decisions) + 1


def test_a_newer_annotation_that_awaits_review_is_opened_before_an_accepted_version(house: House) -> None:
    annotate(house)
    version(house, RITA)
    say(house, BEN, 1, status="approved")
    request_case(house.workspace, ALICE, Purpose.CORRECT, house.acquisition)
    newer = annotate(house, corner=6).annotation_id
    assert {tag: label.annotation.id for tag, label in labels(house).items()} == {FINAL: newer}


def test_a_second_reader_is_shown_no_other_reading(house: House) -> None:
    sent = annotate(house).annotation_id
    review.accept(house.catalog, sent, reviewer="rita")
    assert read_review_cases(house.catalog, BEN, unreviewed=True)
    request_case(house.workspace, BEN, Purpose.SECOND_READ, house.acquisition)
    assert read_review_cases(house.catalog, BEN, unreviewed=True) == []
    with pytest.raises(NotFound, match="independently"):
        read_label_to_show(house.catalog, house.acquisition, FINAL, BEN)


def test_refused_versions_and_comments_leave_nothing(house: House) -> None:
    annotate(house)
    with pytest.raises(InvalidInput, match="10,001 characters"):
        say(house, RITA, comment="x" * 10_001)
    plain = house.folder / "plain.nrrd"
    nrrd.write(str(plain), np.ones(GRID.shape, dtype=np.uint8), {"space": "right-anterior-superior", "space directions": GRID.affine[:3, :3].T, "space origin": GRID.affine[:3, 3]})  # fmt: skip
    with pytest.raises(LabelError, match="have no name"):
        save_version(
            house.workspace, RITA, 1, Fields(), examination_id=house.examination, upload=plain, file_name="a.nrrd", label_info=[],
        )  # fmt: skip
    with house.catalog.read() as session:
        assert session.query(Annotation).count() == 1
        assert reviewing.remarks_of(session, [session.query(Annotation).one().id]) == {}
