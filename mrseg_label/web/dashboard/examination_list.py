"""``/dashboard/examinations``: find examinations, sort them, turn pages, and act on many cases at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.accounts import service as accounts
from mrseg_label.case_actions import CaseAction, CaseActionKind
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import CaseState, Priority, Role
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.blinding import check_sees_states, hides_cases, without_case
from mrseg_label.reports.documents.examinations import CasesChangedOut
from mrseg_label.reports.examinations import (
    COUNTED,
    MOST_CASES,
    count_examinations,
    describe_changes,
    find_cases,
    find_cases_of,
    parse_sort,
    read_choices,
    read_examination_list,
)
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, sentence
from mrseg_label.worklist.many_cases import DAYS, MOST_DAYS

PER_PAGE = 50
OF_A_PARTICIPANT = 500  # at most, on the one page that a search shows
NEWEST = "-stored"
# Each tick box is a field of the form.
_FORM_LIMITS: Any = {"max_files": 0, "max_fields": OF_A_PARTICIPANT + 32}
_Word = Annotated[str, Query(max_length=255)]
_Field = Annotated[str, Form(max_length=255)]
_Cursor = Annotated[str | None, Query(max_length=1000)]


@dataclass(frozen=True)
class _Shown:
    """What a page of the list shows: a filter, an order, and the cursor from which or before which it reads."""

    station: str = ""
    sequence: str = ""
    state: CaseState | None = None
    priority: Priority | None = None
    sort: str = NEWEST
    participant: str = ""
    cursor: str | None = None
    before: str | None = None

    def wanted(self) -> ExaminationFilter:
        """Return the filter. A code with characters that no code has finds nothing."""
        participant = self.participant if self.participant.isprintable() else " "
        return ExaminationFilter(
            self.station or None,
            self.sequence or None,
            state=self.state,
            participant=participant or None,
            priority=self.priority,
        )

    def query(self, **changed: str | None) -> str:
        """Return the query of the address of another page of this list; a participant never stands in one."""
        values = {"station": self.station, "sequence": self.sequence, "state": self.state, "priority": self.priority}
        values |= {"sort": self.sort if self.sort != NEWEST else None} | changed
        return urlencode({name: value for name, value in values.items() if value})

    def turned(self, key: str) -> str:
        """Return the query that sorts by a column, or the other way round where the list is sorted by it."""
        other = f"-{key}" if self.sort == key else key
        if key == "stored":
            other = key if self.sort == NEWEST else NEWEST
        return self.query(sort=other if other != NEWEST else None)

    def direction(self, key: str) -> str:
        """Return how the list is sorted by a column, in the words of ``aria-sort``."""
        return "none" if self.sort.removeprefix("-") != key else "descending" if self.sort[0] == "-" else "ascending"


def _of_form(
    station: _Field = "",
    sequence: _Field = "",
    state: Annotated[CaseState | str, Form()] = "",
    priority: Annotated[Priority | str, Form()] = "",
    sort: Annotated[str, Form(max_length=40)] = NEWEST,
    participant: _Field = "",
    cursor: Annotated[str, Form(max_length=1000)] = "",
    before: Annotated[str, Form(max_length=1000)] = "",
) -> _Shown:
    """Read from a form which list its page showed."""
    return _Shown(
        station,
        sequence,
        _one_of(CaseState, state),
        _one_of(Priority, priority),
        sort,
        participant.strip(),
        cursor or None,
        before or None,
    )


def _one_of(kind: Any, text: str) -> Any:
    """Read a choice; an empty text chooses nothing. Raises :class:`InvalidInput`."""
    try:
        return kind(text) if text else None
    except ValueError:
        raise InvalidInput(f"there is no {text[:40]!r}; choose from {', '.join(kind)}") from None


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the list and its forms."""
    catalog = workspace.catalog
    signs_in = workspace.settings.auth == "on"

    def list_page(
        request: Request,
        reader: Reader,
        shown: _Shown,
        status: int = 200,
        *,
        message: str = "",
        done: CasesChangedOut | None = None,
    ) -> Response:
        wanted, sort = shown.wanted(), parse_sort(shown.sort)
        hidden = hides_cases(workspace, reader)
        if shown.state is not None:
            check_sees_states(workspace, reader)
        most = OF_A_PARTICIPANT if shown.participant else PER_PAGE
        at = shown.before or shown.cursor
        backwards = shown.before is not None
        found = read_examination_list(catalog, wanted, most, at, reader.role, sort, backwards=backwards)
        if backwards and not found.items:  # what stood before has gone
            found = read_examination_list(catalog, wanted, most, None, reader.role, sort)
        stations, sequences = read_choices(catalog)
        values: dict[str, Any] = {
            "found": replace(found, items=[without_case(one) for one in found.items]) if hidden else found,
            "shown": shown,
            "total": count_examinations(catalog, wanted, COUNTED + 1),
            "counted": COUNTED,
            "most_cases": MOST_CASES,
            "stations": stations,
            "sequences": sequences,
            "states": [] if hidden else list(CaseState),
            "priorities": list(Priority),
            "readers": _names(workspace) if signs_in else None,
            "days": DAYS,
            "most_days": MOST_DAYS,
            "message": message,
            "done": done,
        }
        return page(request, "dashboard/examinations.html", status, **values)

    @routes.get(paths.EXAMINATIONS)
    def list_examinations(
        request: Request,
        reader: CurrentReader,
        station: _Word = "",
        sequence: _Word = "",
        state: Annotated[CaseState | str, Query()] = "",
        priority: Annotated[Priority | str, Query()] = "",
        sort: Annotated[str, Query(max_length=40)] = NEWEST,
        cursor: _Cursor = None,
        before: _Cursor = None,
    ) -> Response:
        # No filter by participant: nothing that identifies a person belongs in an address.
        choices = _one_of(CaseState, state), _one_of(Priority, priority)
        return list_page(request, reader, _Shown(station, sequence, *choices, sort, cursor=cursor, before=before))

    @routes.post(paths.SEARCH_PARTICIPANT, dependencies=forms.checks)
    def search_participant(request: Request, reader: CurrentReader, participant: _Field = "") -> Response:
        return list_page(request, reader, _Shown(participant=participant.strip()))

    ticks = APIRouter(
        include_in_schema=False, route_class=routes.route_class, form_limits=_FORM_LIMITS, dependencies=[forms.remember]
    )

    @ticks.post(paths.ACT_ON_EXAMINATIONS, dependencies=forms.checks)
    def act(
        request: Request,
        reader: CurrentReader,
        shown: Annotated[_Shown, Depends(_of_form)],
        action: Annotated[CaseActionKind, Form()],
        scope: Annotated[str, Form(pattern="^(ticked|page|found)$")] = "ticked",
        examination: Annotated[list[str] | None, Form()] = None,
        on_page: Annotated[str, Form(max_length=40_000)] = "",
        total: Annotated[int, Form()] = 0,
        reason: Annotated[str, Form(max_length=1000)] = "",
        assign_to: _Field = "",
        second_reader: _Field = "",
        days: Annotated[int, Form()] = DAYS,
        new_priority: Annotated[Priority, Form()] = Priority.NORMAL,
    ) -> Response:
        who = assign_to if action is CaseActionKind.ASSIGN else second_reader
        asked = CaseAction(action, reason, who, days, new_priority)
        try:
            if scope == "found":
                cases = find_cases(catalog, shown.wanted(), expected=total)
            else:
                cases = find_cases_of(catalog, examination or [] if scope == "ticked" else on_page.split())
            if not cases:
                raise InvalidInput("no examination is ticked; tick some, or choose all that were found")
            done = describe_changes(catalog, asked.perform(workspace, cases, reader.name))
        except (Conflict, InvalidInput, NotFound) as error:
            return list_page(request, reader, shown, error.http_status, message=sentence(error))
        return list_page(request, reader, shown, done=done)

    routes.include_router(ticks)


def _names(workspace: OpenedWorkspace) -> list[str]:
    """Names of the accounts that can get cases."""
    return [
        account.name
        for account in accounts.list_accounts(workspace.catalog)
        if account.disabled_at is None and account.role is not Role.SERVICE
    ]
