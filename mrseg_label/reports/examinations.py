"""Read lists of examinations as documents: filtered, sorted, and paged in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.many_cases import CasesChanged
from mrseg_label.catalog.queries import examination_pages as rows
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.queries.examination_pages import NEWEST_FIRST, Place, Sort, SortKey, place_of
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.types import Role
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.reports.cases import examination_documents
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.examinations import CasesChangedOut, ExaminationOut, LeftOut
from mrseg_label.reports.paging import decode_place, encode_cursor

MOST_CASES = 5000  # that one action may change
COUNTED = 10_000  # examinations; a list with more says so, since counting a million takes longer than showing a page
SHOWN = 10  # examinations of cases that an action left
SORTS = tuple(f"{sign}{key}" for key in SortKey for sign in ("", "-"))


@dataclass(frozen=True)
class ExaminationList:
    """A page of a list that can be turned in both directions; cursors are None at its ends."""

    items: list[ExaminationOut]
    previous: str | None
    next: str | None


def parse_sort(text: str) -> Sort:
    """Parse the name of an order: ``station`` or, the other way round, ``-station``.

    Raises
    ------
    InvalidInput
        There is no such order.
    """
    if text not in SORTS:
        raise InvalidInput(f"there is no order {text[:40]!r}; choose from {', '.join(SORTS)}")
    return Sort(SortKey(text.removeprefix("-")), text.startswith("-"))


def read_examinations(
    catalog: Catalog,
    wanted: ExaminationFilter,
    limit: int,
    cursor: str | None = None,
    role: Role | None = None,
    sort: Sort = NEWEST_FIRST,
) -> Page[ExaminationOut]:
    """Read a page of examinations, newest first unless they are sorted otherwise.

    Parameters
    ----------
    role : of the account that reads: sources are for admins alone; None where everything is permitted.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    found = read_examination_list(catalog, wanted, limit, cursor, role, sort)
    return Page(items=found.items, next=found.next)


def read_examination_list(
    catalog: Catalog,
    wanted: ExaminationFilter,
    limit: int,
    cursor: str | None = None,
    role: Role | None = None,
    sort: Sort = NEWEST_FIRST,
    *,
    backwards: bool = False,
) -> ExaminationList:
    """Read a page behind a cursor or, ``backwards``, the page before it. Raises as :func:`read_examinations`."""
    after = _decode(cursor, sort)
    with catalog.read() as session:
        moment = catalog.now(session)
        found = rows.page(session, wanted, moment, limit + 1, sort, after, backwards=backwards)
        shown = found[-limit:] if backwards else found[:limit]
        more = len(found) > limit
        before = after_them = False
        if shown and backwards:
            before = more
            after_them = bool(rows.page(session, wanted, moment, 1, sort, place_of(shown[-1], sort)))
        elif shown:
            after_them = more
            first = place_of(shown[0], sort)
            before = after is not None and bool(rows.page(session, wanted, moment, 1, sort, first, backwards=True))
        documents = [item.for_role(role) for item in examination_documents(session, moment, shown)]
        return ExaminationList(
            documents,
            _encode(place_of(shown[0], sort), sort) if before else None,
            _encode(place_of(shown[-1], sort), sort) if after_them else None,
        )


def read_choices(catalog: Catalog) -> tuple[list[str], list[str]]:
    """Read the stations and the sequences that there are, for the choices of a filter."""
    with catalog.read() as session:
        pairs = list(rows.stations_and_sequences(session))
    return sorted({station for station, _ in pairs if station}), sorted({sequence for _, sequence in pairs if sequence})


def count_examinations(catalog: Catalog, wanted: ExaminationFilter, at_most: int | None = None) -> int:
    """Count the examinations of the kind that is wanted; counting ends at ``at_most``."""
    with catalog.read() as session:
        return rows.count(session, wanted, catalog.now(session), at_most)


def find_cases(catalog: Catalog, wanted: ExaminationFilter, expected: int | None = None) -> list[str]:
    """Find the acquisitions of all examinations that a filter finds, for an action on them.

    Parameters
    ----------
    expected : how many examinations whoever acts has seen.

    Raises
    ------
    Conflict
        The filter finds another number of examinations by now, or more cases than one action may change.
    """
    with catalog.read() as session:
        moment = catalog.now(session)
        found = rows.case_ids(session, wanted, moment, MOST_CASES + 1)
        present = None if expected is None else rows.count(session, wanted, moment, COUNTED + 1)
    if present is not None and present != expected:
        raise Conflict(
            f"{present:,} examinations are found by now, and not {expected:,}; nothing was changed. Look at the list again"
        )
    if len(found) > MOST_CASES:
        raise Conflict(
            f"more than {MOST_CASES:,} cases are found, and one action changes at most {MOST_CASES:,}; nothing was changed. "
            "Filter further, by station, sequence or state"
        )
    return found


def find_cases_of(catalog: Catalog, examination_ids: Sequence[str]) -> list[str]:
    """Find the acquisitions of examinations, each once, in their order.

    Raises
    ------
    NotFound
        One of the examinations does not exist.
    Conflict
        They are more than one action may change.
    """
    if len(examination_ids) > MOST_CASES:
        raise Conflict(f"{len(examination_ids):,} examinations are named; one action changes at most {MOST_CASES:,}")
    with catalog.read() as session:
        found = examinations.acquisitions_of(session, [one for one in examination_ids if one.isprintable()])
    unknown = next((one for one in examination_ids if one not in found), None)
    if unknown is not None:
        raise NotFound(f"there is no examination {unknown[:60]!r}; nothing was changed")
    return list(dict.fromkeys(found[one] for one in examination_ids))


def describe_changes(catalog: Catalog, done: CasesChanged) -> CasesChangedOut:
    """Describe what an action on many cases did."""
    with catalog.read() as session:
        left = [
            LeftOut(reason=reason, cases=len(ids), examinations=examinations.opened_of(session, ids[:SHOWN]))
            for reason, ids in done.left.items()
        ]
    return CasesChangedOut(changed=len(done.changed), left=left)


def _encode(place: Place, sort: Sort) -> str:
    if sort.key is SortKey.STORED:
        return encode_cursor(place.created, place.id)
    return encode_cursor(place.value, place.created, place.id)


def _decode(cursor: str | None, sort: Sort) -> Place | None:
    found = decode_place(cursor, named=sort.key is not SortKey.STORED)
    if found is None:
        return None
    return Place(*found)
