"""Clients name images by id, ticket or their own name, and readers open only what they may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Alias, Assignment, Examination
from mrseg_label.catalog.types import AssignmentOutcome, Role
from mrseg_label.clock import now
from mrseg_label.errors import Forbidden, InvalidInput, NotFound
from mrseg_label.intake.exclusion import exclude
from mrseg_label.worklist import service
from mrseg_label.worklist.resolving import account_of_ticket, resolve_image
from tests.support.worklist_cases import fill, make_queue, take, take_several


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def test_image_is_found_by_id_ticket_and_alias(opened: OpenedWorkspace) -> None:
    catalog = opened.catalog
    fill(catalog, 2, ("abdomen",))
    case = take(opened, client="c", user="ada")
    assert resolve_image(catalog, case.examination_id, Reader()).id == case.examination_id
    for image in (case.ticket, case.examination_id):
        assert resolve_image(catalog, image, Reader("user-xyz", "ada", Role.RADIOLOGIST)).id == case.examination_id
    assert resolve_image(catalog, case.examination_id, Reader("user-xyz", "bob")).id == case.examination_id
    with pytest.raises(Forbidden, match="not assigned to you"):
        resolve_image(catalog, case.examination_id, Reader("user-xyz", "bob", Role.RADIOLOGIST))
    with pytest.raises(NotFound, match="does not belong to you"):
        resolve_image(catalog, case.ticket, Reader("user-xyz", "bob", Role.RADIOLOGIST))
    with catalog.begin() as session:
        for client, examination in zip(("ada", "bob"), session.query(Examination).limit(2), strict=True):
            session.add(Alias(client=client, name="3: T1 VIBE dixon", examination_id=examination.id))
        ids = [examination.id for examination in session.query(Examination).limit(2)]
    for user, identifier in zip(("ada", "bob"), ids, strict=True):
        assert resolve_image(catalog, "3: T1 VIBE dixon", Reader("c", user, Role.RADIOLOGIST)).id == identifier
    with pytest.raises(NotFound):
        resolve_image(catalog, "3: T1 VIBE dixon", Reader("c", "eve", Role.RADIOLOGIST))
    assert resolve_image(catalog, "3: T1 VIBE dixon", Reader()).id in ids
    for bad in ("../../etc/passwd", "a/b", "a\0b", "", "x" * 201):
        with pytest.raises(InvalidInput):
            resolve_image(catalog, bad, Reader())
    with pytest.raises(NotFound):
        resolve_image(catalog, "ex-0000000000000000", Reader())


def test_ticket_stays_valid_after_submission_but_not_after_return(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    first, second = take_several(opened, 2, client="c")
    assert account_of_ticket(opened.catalog, first.ticket) == "ada"
    with opened.catalog.begin() as session:
        assignment = session.query(Assignment).filter_by(ticket=first.ticket).one()
        assignment.ended_at, assignment.outcome = now(), AssignmentOutcome.SUBMITTED
    assert account_of_ticket(opened.catalog, first.ticket) == "ada"
    assert (
        resolve_image(opened.catalog, first.examination_id, Reader("user-xyz", "ada", Role.RADIOLOGIST)).id
        == first.examination_id
    )
    service.return_to_queue(opened.catalog, Reader("c", "ada"), second.acquisition_id)
    assert account_of_ticket(opened.catalog, second.ticket) is None
    with pytest.raises(NotFound, match="expired at"):
        resolve_image(opened.catalog, second.ticket, Reader("user-xyz", "ada", Role.RADIOLOGIST))
    with pytest.raises(Forbidden):
        resolve_image(opened.catalog, second.examination_id, Reader("user-xyz", "ada", Role.RADIOLOGIST))
    assert account_of_ticket(opened.catalog, "no-ticket") is None
    # Work that is done is kept; for anybody else the case is as closed as before.
    for image in (second.ticket, second.examination_id):
        assert (
            resolve_image(opened.catalog, image, Reader("user-xyz", "ada", Role.RADIOLOGIST), to_submit=True).id
            == second.examination_id
        )
        with pytest.raises((NotFound, Forbidden)):
            resolve_image(opened.catalog, image, Reader("user-xyz", "bob", Role.RADIOLOGIST), to_submit=True)


def test_ticket_ends_with_its_time(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened)
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(NotFound, match="expired at"):
        resolve_image(opened.catalog, case.ticket, Reader())


def test_ticket_opens_nothing_once_its_case_is_unusable_but_work_that_is_done_is_accepted(
    opened: OpenedWorkspace,
) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened, client="c", user="ada")
    reader = Reader("c", "ada", Role.RADIOLOGIST)
    exclude(opened.catalog, case.acquisition_id, reason="motion", actor="admin")
    with pytest.raises(NotFound, match="marked unusable"):
        resolve_image(opened.catalog, case.ticket, reader)
    assert resolve_image(opened.catalog, case.ticket, reader, to_submit=True).id == case.examination_id
    with opened.catalog.begin() as session:
        session.get_one(Acquisition, case.acquisition_id).primary_examination_id = None
    with pytest.raises(NotFound, match="no longer exists"):
        resolve_image(opened.catalog, case.ticket, reader)
