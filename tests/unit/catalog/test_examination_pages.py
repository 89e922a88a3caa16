"""Lists of examinations: every filter in every order, read forwards and backwards, against the same list made in Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mrseg_label.catalog.database import Catalog, open_catalog
from mrseg_label.catalog.queries import examination_pages as pages
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries.examination_pages import Place, Sort, SortKey
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.tables import Acquisition, Assignment, Examination
from mrseg_label.catalog.types import AnnotationState, CaseState, Priority, SwapState
from mrseg_label.clock import now
from mrseg_label.ids import new_ticket
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant

START = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = 15
STATIONS = ("", "abdomen", "pelvis")
SORTS = (Sort(), Sort(SortKey.STORED, False), Sort(SortKey.STATION, False), Sort(SortKey.SEQUENCE, True))
FILTERS = [
    ExaminationFilter(),
    *(ExaminationFilter(state=state) for state in CaseState),
    *(ExaminationFilter(station=station) for station in (*STATIONS, "none")),
    *(ExaminationFilter(sequence=sequence) for sequence in ("in", "none")),
    *(ExaminationFilter(annotated=annotated) for annotated in (True, False)),
    *(ExaminationFilter(excluded=excluded) for excluded in (True, False)),
    *(ExaminationFilter(priority=priority) for priority in Priority),
    ExaminationFilter(participant="P3"),
    ExaminationFilter(swap=SwapState.SUSPECTED),
    ExaminationFilter(station="pelvis", sequence="water", state=CaseState.ANNOTATED),
    ExaminationFilter(station="pelvis", state=CaseState.WAITING),
    ExaminationFilter(sequence="fat", state=CaseState.EXCLUDED, priority=Priority.HIGH),
]


@dataclass(frozen=True)
class _Known:
    """What is known of an examination without asking the database."""

    id: str
    created: datetime
    participant: str
    station: str
    sequence: str
    state: CaseState
    annotated: bool
    excluded: bool
    priority: Priority
    swap: SwapState | None

    def fits(self, wanted: ExaminationFilter) -> bool:
        names = ("participant", "station", "sequence", "state", "annotated", "excluded", "priority", "swap")
        return all(getattr(wanted, name) in (None, getattr(self, name)) for name in names)


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, database_url: Callable[[Path], str]
) -> Iterator[tuple[Catalog, list[_Known]]]:
    """Cases in every state, with images of which some were stored at the same moment."""
    draw = random.Random(3)
    with closing(open_catalog(database_url(tmp_path_factory.mktemp("pages")))) as catalog:
        known: list[_Known] = []
        with catalog.begin() as session:
            models.ensure_bootstrap(session)
            for number, state in enumerate([*CaseState] * 2):
                person = add_participant(session, f"P{number}")
                station, priority = draw.choice(STATIONS), draw.choice([*Priority])
                case = add_acquisition(session, person, station=station)
                case.priority = priority
                if state in (CaseState.ANNOTATED, CaseState.AWAITING_REVIEW):
                    annotation = add_annotation(session, case)
                    if state is CaseState.AWAITING_REVIEW:
                        annotation.state, case.annotated_at = AnnotationState.SUBMITTED, None
                elif state is CaseState.EXCLUDED:
                    case.excluded_at = now()
                elif state is CaseState.NO_IMAGE:
                    case.primary_examination_id = None
                elif state is CaseState.ASSIGNED:
                    session.add(Assignment(ticket=new_ticket(), acquisition_id=case.id, client="ada", expires_at=now() + timedelta(days=1)))  # fmt: skip
                for image in session.query(Examination).filter_by(acquisition_id=case.id):
                    image.created_at = START + timedelta(hours=draw.randrange(20))
                    image.swap = draw.choice([None, SwapState.SUSPECTED])
                    known.append(
                        _Known(image.id, image.created_at, person.code, station, image.sequence, state,
                               state is CaseState.ANNOTATED, state is CaseState.EXCLUDED, priority, image.swap)
                    )  # fmt: skip
        yield catalog, known


def in_order(known: list[_Known], sort: Sort) -> list[str]:
    stored = sort.key is SortKey.STORED
    found = sorted(known, key=lambda one: (one.created, one.id), reverse=sort.descending if stored else True)
    if not stored:
        found.sort(key=lambda one: getattr(one, sort.key.value), reverse=sort.descending)
    return [one.id for one in found]


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
def test_pages_make_the_whole_list_in_both_directions(
    study: tuple[Catalog, list[_Known]], wanted: ExaminationFilter
) -> None:
    catalog, known = study
    fitting = [one for one in known if one.fits(wanted)]
    with catalog.read() as session:
        moment = catalog.now(session)
        for sort in SORTS:
            expected = in_order(fitting, sort)
            for backwards in (False, True):
                found: list[str] = []
                after: Place | None = None
                while True:
                    rows = pages.page(session, wanted, moment, SIZE, sort, after, backwards=backwards)
                    ids = [row.id for row in rows]
                    found = ids + found if backwards else found + ids
                    if len(rows) < SIZE:
                        break
                    after = pages.place_of(rows[0 if backwards else -1], sort)
                assert found == expected, (sort, backwards)
        assert pages.count(session, wanted, moment) == len(fitting)
        assert pages.count(session, wanted, moment, 5) == min(5, len(fitting))
        cases = {session.get_one(Examination, one.id).acquisition_id for one in fitting}
        assert set(pages.case_ids(session, wanted, moment, 1000)) == cases


def test_rows_that_appear_or_vanish_between_pages_hide_and_repeat_no_others(
    tmp_path: Path, database_url: Callable[[Path], str]
) -> None:
    with closing(open_catalog(database_url(tmp_path))) as catalog:
        with catalog.begin() as session:
            for number in range(4):
                add_acquisition(session, add_participant(session, f"P{number}"), at=START + timedelta(days=number))
        wanted, sort = ExaminationFilter(state=CaseState.WAITING), Sort()
        with catalog.begin() as session:
            moment = catalog.now(session)
            whole = [row.id for row in pages.page(session, wanted, moment, 100)]
            first = pages.page(session, wanted, moment, 6)
            place = pages.place_of(first[-1], sort)  # of the second case's second image
            session.execute(
                update(Acquisition).where(Acquisition.id == first[-1].acquisition_id).values(excluded_at=moment)
            )
            add_acquisition(session, add_participant(session, "new"), at=START + timedelta(days=9))
            session.flush()
            following = [row.id for row in pages.page(session, wanted, moment, 100, sort, place)]
            assert following == whole[8:], "the rest of the excluded case is gone, and nothing else"
            before = [row.id for row in pages.page(session, wanted, moment, 100, sort, place, backwards=True)]
            assert before[4:] == whole[:4] and len(before) == 8, "the new case stands before the first page"
            moved = session.get_one(Examination, whole[-1])
            session.execute(update(Acquisition).where(Acquisition.id == moved.acquisition_id).values(station="neck"))
            assert pages.count(session, ExaminationFilter(station="neck"), moment) == 4
            other = session.get_one(Acquisition, session.get_one(Examination, whole[0]).acquisition_id)
            moved.acquisition_id = other.id
            session.flush()
            assert pages.count(session, ExaminationFilter(station="neck"), moment) == 3
