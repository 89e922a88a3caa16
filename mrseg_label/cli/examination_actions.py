"""``examinations exclude``, ``include``, ``assign``, ``second-reading``, ``return``, ``priority``: act on many cases at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mrseg_label.cli.common import HERE, LOCAL, JsonOption, WorkspaceOption, opened, print_json, print_line
from mrseg_label.cli.lists import ParticipantOption, examinations

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.catalog.queries.examinations import ExaminationFilter

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[EXAMINATION...]", help="Ids of examinations; or say with --all and filters which are meant."
    ),
]
All = Annotated[bool, typer.Option("--all", help="All that the filters find, instead of named ones.")]
Station = Annotated[str | None, typer.Option("--station", metavar="NAME", help="With --all: only of this station.")]
Sequence = Annotated[str | None, typer.Option("--sequence", metavar="NAME", help="With --all: only of this sequence.")]
State = Annotated[
    Literal["waiting", "assigned", "awaiting_review", "annotated", "excluded", "no_image"] | None,
    typer.Option("--state", help="With --all: only those whose case is in this state."),
]
Yes = Annotated[bool, typer.Option("--yes", help="With --all: do not ask whether these are meant.")]
Author = Annotated[
    str, typer.Option("--author", metavar="NAME", help="Name to record with the change.", show_default=LOCAL)
]
ReaderName = Annotated[
    str,
    typer.Option("--reader", metavar="NAME", help="Account of the reader; without sign-in the user name in Slicer."),
]
Days = Annotated[int, typer.Option("--days", min=1, max=90, help="How long the cases wait for the reader.")]


@dataclass(frozen=True)
class _Meant:
    """Which examinations a command means."""

    ids: list[str]
    everything: bool
    participant: str | None
    station: str | None
    sequence: str | None
    state: str | None
    yes: bool

    def cases(self, workspace: OpenedWorkspace, quiet: bool) -> list[str]:
        """Find the cases; those of a filter only after a question."""
        from mrseg_label.reports.examinations import count_examinations, find_cases, find_cases_of

        filters = (self.participant, self.station, self.sequence, self.state)
        if self.everything == bool(self.ids) or (self.ids and any(filters)):
            raise typer.BadParameter("name examinations, or give --all with filters")
        if self.ids:
            return find_cases_of(workspace.catalog, self.ids)
        wanted = self._filter()
        count = count_examinations(workspace.catalog, wanted)
        if not self.yes:
            if quiet:
                raise typer.BadParameter("--json asks nothing: add --yes to act on all that the filters find")
            typer.confirm(f"{count:,} examinations are found. Act on the cases of all of them?", abort=True, err=True)
        return find_cases(workspace.catalog, wanted)

    def _filter(self) -> ExaminationFilter:
        from mrseg_label.catalog.queries.examinations import ExaminationFilter
        from mrseg_label.catalog.types import CaseState

        state = CaseState(self.state) if self.state else None
        return ExaminationFilter(self.station, self.sequence, state=state, participant=self.participant)


def _run(folder: Path, meant: _Meant, author: str, as_json: bool, kind: str, **values: Any) -> None:
    """Act on cases, and say what was changed and what was left."""
    from mrseg_label.http.case_actions import CaseAction, CaseActionKind
    from mrseg_label.reports.examinations import describe_changes

    with opened(folder) as workspace:
        cases = meant.cases(workspace, as_json)
        action = CaseAction(CaseActionKind(kind), **values)
        document = describe_changes(workspace.catalog, action.perform(workspace, cases, author))
    if as_json:
        print_json(document)
    else:
        print_line(f"{document.changed:,} {'case was' if document.changed == 1 else 'cases were'} changed.")
        for one in document.left:
            shown = ", ".join(one.examinations) + (", ..." if one.cases > len(one.examinations) else "")
            print_line(f"{one.cases:,} left as they were: {one.reason} ({shown})")
    if document.left and not document.changed:
        raise typer.Exit(1)


@examinations.command("exclude")
def exclude(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why the cases are excluded.")],
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Exclude the cases of examinations from assignment and training. Nothing is deleted."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "exclude", reason=reason)


@examinations.command("include")
def include(
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Include excluded cases again."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "include")


@examinations.command("admit")
def admit(
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Admit the participants of examinations that are kept for evaluation only, each with all cases."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "admit")


@examinations.command("assign")
def assign(
    reader: ReaderName,
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
    days: Days = 7,
) -> None:
    """Assign cases to a reader, who gets them next. What is not opened in time returns to the queue."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "assign", reader=reader, days=days)


@examinations.command("second-reading")
def second_reading(
    reader: ReaderName,
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
    days: Days = 7,
) -> None:
    """Ask a reader to read annotated cases a second time, from the draft."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "second_reading", reader=reader, days=days)


@examinations.command("return")
def return_to_queue(
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Return cases to the queue, whoever has them."""
    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "return")


@examinations.command("priority")
def priority(
    level: Annotated[Literal["high", "normal", "low"], typer.Option("--priority", help="When waiting cases come.")],
    ids: Ids = None,
    everything: All = False,
    participant: ParticipantOption = None,
    station: Station = None,
    sequence: Sequence = None,
    state: State = None,
    yes: Yes = False,
    author: Author = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Set the priority of cases: waiting ones of a high one are drafted and assigned before all others."""
    from mrseg_label.catalog.types import Priority

    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
    _run(folder, meant, author, as_json, "priority", priority=Priority(level))
