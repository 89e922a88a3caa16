"""Decisions about annotations after their submission; nothing is ever overwritten or deleted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.annotation import review
from mrseg_label.annotation.readings import compare
from mrseg_label.annotation.record import Submitted
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Job, Review
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.errors import ConfigurationError, Conflict, Forbidden, InvalidInput, LabelError, NotFound
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case, mark_unusable, mask_to_start_from, return_to_queue
from tests.support.annotation_house import House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\n{database_settings}')


@pytest.fixture
def reviewed(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\nREVIEW = "required"\n{database_settings}')


def send(house: House, reader: str, shift: int = 0) -> Submitted:
    array = np.roll(draft_array(), shift, axis=2)
    array[3, 0, shift] = 1
    return house.send(array, *house.workspace.scheme.names[:5], client=reader)


def ask(house: House, reader: str) -> AssignedCase | None:
    return assign_next_case(house.workspace, Reader(reader), "balanced")


def request(house: House, reader: str, purpose: Purpose, named: bool = False) -> AssignedCase:
    acquisition = house.acquisition if named else None
    return request_case(house.workspace, Reader(reader), purpose, acquisition)


def starts_from(house: House, reader: str) -> tuple[str, str] | None:
    start = mask_to_start_from(house.catalog, Reader(reader), house.acquisition)
    return (start[0].id, start[1]) if start else None


def final_of(house: House) -> str | None:
    with house.catalog.read() as session:
        final = rows.final(session, house.acquisition)
        counted = session.get_one(Acquisition, house.acquisition).annotated_at is not None
    assert counted == (final is not None)
    return final.id if final else None


def test_accepted_submission_counts_from_then_on(reviewed: House) -> None:
    sent = send(reviewed, "ada")
    assert final_of(reviewed) is None
    with pytest.raises(Forbidden, match="another reader"):
        review.accept(reviewed.catalog, sent.annotation_id, reviewer="ada")
    review.accept(reviewed.catalog, sent.annotation_id, reviewer="bob", comment="good")
    assert final_of(reviewed) == sent.annotation_id
    with reviewed.catalog.read() as session:
        assert [(r.reviewer, r.comment) for r in session.query(Review)] == [("bob", "good")]
        assert session.query(Job).filter_by(key=f"{sent.annotation_id}:accepted").count() == 1
    with pytest.raises(Conflict, match="accepted"):
        review.reject(reviewed.catalog, sent.annotation_id, reviewer="bob", comment="bad")


def test_rejected_case_goes_back_to_its_author_with_the_comment(reviewed: House) -> None:
    assert ask(reviewed, "ada")
    sent = send(reviewed, "ada")
    with pytest.raises(InvalidInput, match="comment"):
        review.reject(reviewed.catalog, sent.annotation_id, reviewer="bob", comment=" ")
    review.reject(reviewed.catalog, sent.annotation_id, reviewer="bob", comment="the spleen is too large")
    with pytest.raises(Conflict, match="until"):
        ask(reviewed, "eve")
    case = ask(reviewed, "ada")
    assert case is not None
    assert (case.annotation_id, case.comment) == (sent.annotation_id, "the spleen is too large")
    assert starts_from(reviewed, "ada") == (sent.annotation_id, "the spleen is too large")
    assert starts_from(reviewed, "eve") is None
    # The same mask again is a new submission, since the first was rejected.
    again = send(reviewed, "ada")
    assert again.number == 2 and not again.repeated
    assert again.report["began_from"] == sent.annotation_id
    assert starts_from(reviewed, "ada") is None


def test_rejected_correction_of_an_accepted_mask_goes_back_and_the_mask_stays(reviewed: House) -> None:
    first = send(reviewed, "ada")
    review.accept(reviewed.catalog, first.annotation_id, reviewer="bob")
    second = send(reviewed, "ada", 1)
    review.reject(reviewed.catalog, second.annotation_id, reviewer="bob", comment="worse than before")
    assert final_of(reviewed) == first.annotation_id
    assert ask(reviewed, "eve") is None  # for others nothing is left
    case = ask(reviewed, "ada")
    assert case is not None and (case.annotation_id, case.comment) == (second.annotation_id, "worse than before")


def test_rejected_second_reading_goes_back_as_a_second_reading(reviewed: House) -> None:
    first = send(reviewed, "ada")
    review.accept(reviewed.catalog, first.annotation_id, reviewer="bob")
    request(reviewed, "eve", Purpose.SECOND_READ)
    second = send(reviewed, "eve", 1)
    review.reject(reviewed.catalog, second.annotation_id, reviewer="bob", comment="no")
    case = ask(reviewed, "eve")
    assert case is not None and case.annotation_id == second.annotation_id
    again = send(reviewed, "eve", 2)
    assert not again.is_final and final_of(reviewed) == first.annotation_id


@pytest.mark.parametrize("older_first", [True, False])
@pytest.mark.parametrize("rejected", ["ada", "bob"])
def test_rejected_one_of_two_readings_goes_back_to_its_author(
    reviewed: House, rejected: str, older_first: bool
) -> None:
    sent = {"ada": send(reviewed, "ada"), "bob": send(reviewed, "bob", 1)}  # Bob's is kept as a second reading
    for author in ("ada", "bob") if older_first else ("bob", "ada"):
        if author == rejected:
            review.reject(reviewed.catalog, sent[author].annotation_id, reviewer="eve", comment="no")
        else:
            review.accept(reviewed.catalog, sent[author].annotation_id, reviewer="eve")
    case = ask(reviewed, rejected)
    assert case is not None and case.annotation_id == sent[rejected].annotation_id
    assert starts_from(reviewed, rejected) == (sent[rejected].annotation_id, "no")
    again = send(reviewed, rejected, 2)
    assert again.is_final == (rejected == "ada")
    review.accept(reviewed.catalog, again.annotation_id, reviewer="eve")
    assert final_of(reviewed) == (again if rejected == "ada" else sent["ada"]).annotation_id
    assert ask(reviewed, "ada") is ask(reviewed, "bob") is None


def test_submission_is_assigned_for_review_before_it_counts(reviewed: House) -> None:
    assert ask(reviewed, "ada")
    sent = send(reviewed, "ada")
    assert ask(reviewed, "ada") is None  # no reader reviews their own
    case = ask(reviewed, "bob")
    assert case is not None and case.annotation_id == sent.annotation_id
    assert starts_from(reviewed, "bob") == (sent.annotation_id, "")
    assert ask(reviewed, "eve") is None  # bob looks at it
    review.accept(reviewed.catalog, sent.annotation_id, reviewer="bob")
    with reviewed.catalog.read() as session:
        assert session.query(Assignment).filter(Assignment.ended_at.is_(None)).count() == 0
    assert ask(reviewed, "bob") is None


def test_only_one_of_two_simultaneous_reviews_decides(reviewed: House) -> None:
    start = threading.Barrier(2)
    for shift in range(4):
        sent = send(reviewed, "ada", shift)
        outcomes: list[str] = []

        def decide(reviewer: str, annotation_id: str, outcomes: list[str]) -> None:
            start.wait()
            try:
                if reviewer == "bob":
                    review.accept(reviewed.catalog, annotation_id, reviewer=reviewer)
                else:
                    review.reject(reviewed.catalog, annotation_id, reviewer=reviewer, comment="no")
                outcomes.append("decided")
            except Conflict:
                outcomes.append("too late")

        threads = [
            threading.Thread(target=decide, args=(name, sent.annotation_id, outcomes)) for name in ("bob", "eve")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["decided", "too late"]
        with reviewed.catalog.read() as session:
            assert session.query(Review).filter_by(annotation_id=sent.annotation_id).count() == 1
            accepted = session.get_one(Annotation, sent.annotation_id).state is AnnotationState.ACCEPTED
        assert (final_of(reviewed) == sent.annotation_id) == accepted


def test_review_of_a_named_case_is_requested(reviewed: House) -> None:
    sent = send(reviewed, "ada")
    for reader, word in (("ada", "your own"), ("bob", None), ("eve", "being reviewed")):
        if word is None:
            assert request(reviewed, reader, Purpose.REVIEW, named=True).annotation_id == sent.annotation_id
        else:
            with pytest.raises(NotFound, match=word):
                request(reviewed, reader, Purpose.REVIEW, named=True)
    with pytest.raises(Conflict, match="purpose review"):
        request(reviewed, "eve", Purpose.CORRECT, named=True)


def test_annotated_case_is_requested_again_and_starts_from_its_newest_accepted_mask(house: House) -> None:
    assert ask(house, "ada")
    first = send(house, "ada")
    with house.catalog.read() as session:
        presegmentation = session.get_one(Annotation, first.annotation_id).presegmentation_id
    requested = request(house, "bob", Purpose.CORRECT, named=True)
    assert requested.annotation_id == first.annotation_id
    with pytest.raises(Conflict, match="until"):
        request(house, "ada", Purpose.CORRECT, named=True)
    assert request(house, "bob", Purpose.CORRECT, named=True).ticket == requested.ticket
    case = ask(house, "bob")
    assert case is not None and case.ticket == requested.ticket
    assert starts_from(house, "bob") == (first.annotation_id, "")
    second = send(house, "bob", 1)
    # The case was assigned to Bob: this is not a further reading.
    assert second.is_final and final_of(house) == second.annotation_id
    with house.catalog.read() as session:
        new = session.get_one(Annotation, second.annotation_id)
        assert new.presegmentation_id == presegmentation and new.report["began_from"] == first.annotation_id
    assert request(house, "ada", Purpose.CORRECT, named=True).annotation_id == second.annotation_id
    return_to_queue(house.catalog, Reader("ada"), house.acquisition)
    assert starts_from(house, "ada") is None
    with pytest.raises(InvalidInput, match="name the examination"):
        request(house, "ada", Purpose.CORRECT)


def test_unusable_case_is_taken_from_all_readers(house: House) -> None:
    send(house, "ada")
    request(house, "ada", Purpose.CORRECT, named=True)
    request(house, "bob", Purpose.SECOND_READ, named=True)
    with pytest.raises(InvalidInput, match="reason"):
        mark_unusable(house.catalog, Reader("bob"), house.acquisition, " ")
    mark_unusable(house.catalog, Reader("bob"), house.acquisition, "motion")
    with house.catalog.read() as session:
        assert session.query(Assignment).filter(Assignment.ended_at.is_(None)).count() == 0
    for purpose in Purpose:
        with pytest.raises(Conflict, match="bob: motion"):
            request(house, "eve", purpose, named=True)
    assert ask(house, "ada") is None


def test_rejected_case_is_assigned_to_others_when_its_author_does_not_fetch_it(reviewed: House) -> None:
    sent = send(reviewed, "ada")
    review.reject(reviewed.catalog, sent.annotation_id, reviewer="bob", comment="no")
    with reviewed.catalog.begin() as session:
        session.query(Review).one().created_at -= timedelta(hours=25)
    case = ask(reviewed, "eve")
    assert case is not None and case.annotation_id is None


def test_withdrawn_mask_gives_way_to_the_one_before_and_then_the_case_waits(house: House) -> None:
    first, second = send(house, "ada"), send(house, "ada", 1)
    assert final_of(house) == second.annotation_id
    review.withdraw(house.catalog, second.annotation_id, actor="ada", comment="wrong patient")
    assert final_of(house) == first.annotation_id
    review.withdraw(house.catalog, first.annotation_id, actor="ada", comment="")
    assert final_of(house) is None
    with pytest.raises(Conflict, match="already"):
        review.withdraw(house.catalog, first.annotation_id, actor="ada", comment="")
    assert ask(house, "bob") is not None
    with house.catalog.read() as session:
        assert session.query(Annotation).count() == 2


def test_restored_mask_is_a_new_annotation_with_the_same_files(house: House) -> None:
    first, second = send(house, "ada"), send(house, "bob", 1)
    assert not second.is_final
    third = send(house, "ada", 2)
    restored = review.restore(house.workspace, first.annotation_id, actor="admin")
    assert (restored.number, final_of(house)) == (4, restored.annotation_id)
    with house.catalog.read() as session:
        new, old = rows.get(session, restored.annotation_id), rows.get(session, first.annotation_id)
        assert new is not None and old is not None
        assert (new.path, new.digest, new.author, new.client) == (old.path, old.digest, "ada", "admin")
        assert {s.structure: s.state for s in new.structures} == {s.structure: s.state for s in old.structures}
        assert rows.get(session, third.annotation_id) is not None
    with pytest.raises(Conflict, match="already"):
        review.restore(house.workspace, restored.annotation_id, actor="admin")
    with pytest.raises(NotFound):
        review.restore(house.workspace, "an-nothing", actor="admin")


def test_restoring_what_was_never_accepted_needs_a_review(reviewed: House) -> None:
    sent = send(reviewed, "ada")
    review.withdraw(reviewed.catalog, sent.annotation_id, actor="ada", comment="")
    assert review.restore(reviewed.workspace, sent.annotation_id, actor="ada").state is (AnnotationState.SUBMITTED)
    assert final_of(reviewed) is None


def test_second_reading_is_a_further_reading_and_both_are_compared(house: House) -> None:
    with pytest.raises(NotFound, match="no annotated case"):
        request(house, "bob", Purpose.SECOND_READ)
    first = send(house, "ada")
    with pytest.raises(NotFound, match="annotated it yourself"):
        request(house, "ada", Purpose.SECOND_READ, named=True)
    case = request(house, "bob", Purpose.SECOND_READ, named=True)
    assert case.acquisition_id == house.acquisition and case.annotation_id is None
    with pytest.raises(NotFound, match="being read a second time"):
        request(house, "eve", Purpose.SECOND_READ, named=True)
    # It comes with the next request for a case.
    assert ask(house, "eve") is None
    fetched = ask(house, "bob")
    assert fetched is not None and fetched.ticket == case.ticket
    second = send(house, "bob", 1)
    assert not second.is_final and second.seconds is not None and final_of(house) == first.annotation_id
    with house.catalog.read() as session:
        assert session.query(Assignment).one().second_reading
    agreement = compare(house.workspace, first.annotation_id, second.annotation_id)
    assert list(agreement) == list(house.workspace.scheme.names[:5])
    liver = agreement["liver"]
    assert liver.dsc == pytest.approx(1.0) and liver.hd95_mm == pytest.approx(0.0)
    assert agreement["spleen"].dsc is not None and 0.9 < agreement["spleen"].dsc < 1
    assert agreement["left_kidney"].dsc is None and agreement["left_kidney"].hd95_mm is None


def test_required_structures_must_be_judged(tmp_path: Path) -> None:
    for house in make_house(tmp_path, 'AUTH = "off"\nREQUIRED_STRUCTURES = "liver, heart"\n'):
        with pytest.raises(LabelError, match="judge heart"):
            send(house, "ada")
        array = draft_array()
        assert house.send(array, *house.workspace.scheme.names[:5], "heart").number == 1


def test_required_structures_that_are_not_in_the_scheme_are_named(tmp_path: Path) -> None:
    for house in make_house(tmp_path, 'AUTH = "off"\nREQUIRED_STRUCTURES = "liver, herat"\n'):
        with pytest.raises(ConfigurationError, match="herat"):
            send(house, "ada")
