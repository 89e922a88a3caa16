"""``examinations exclude``, ``include``, ``assign``, ``second-reading``, ``return``, ``priority``, ``admit``: act on many cases at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mrseg_label.cli.common import HERE, LOCAL, JsonOption, WorkspaceOption, opened, print_json, print_line
from mrseg_label.cli.completion import ACCOUNTS, EXAMINATIONS
from mrseg_label.cli.lists import ParticipantOption, examinations

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.catalog.queries.examinations import ExaminationFilter

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[EXAMINATION...]",
        help="Ids of examinations; or say with --all and filters which are meant.",
        autocompletion=EXAMINATIONS,
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
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why the cases are excluded.")]
ReaderName = Annotated[
    str,
    typer.Option(
        "--reader",
        metavar="NAME",
        help="Account of the reader; without sign-in the user name in Slicer.",
        autocompletion=ACCOUNTS,
    ),
]
Days = Annotated[int, typer.Option("--days", min=1, max=90, help="How long the cases wait for the reader.")]
Level = Annotated[Literal["high", "normal", "low"], typer.Option("--priority", help="When waiting cases come.")]
Values = dict[str, Any]  # what an action needs, by the field of the CaseAction


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


def _act(
    kind: str,
    values: Values,
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
    """Act on cases, and say what was changed and what was left. The options are those of every command here."""
    from mrseg_label.case_actions import CaseAction, CaseActionKind
    from mrseg_label.reports.examinations import describe_changes

    meant = _Meant(ids or [], everything, participant, station, sequence, state, yes)
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


def _command(name: str) -> Callable[[Callable[..., Values]], Callable[..., Values]]:
    """Register a command that performs the action of this name with what a function makes of its own options.

    Typer reads options from a signature: that of the command is made of the function's own and those of :func:`_act`.
    """

    def register(own: Callable[..., Values]) -> Callable[..., Values]:
        first = list(inspect.signature(own, eval_str=True).parameters.values())
        shared = list(inspect.signature(_act, eval_str=True).parameters.values())[2:]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*first, *shared)]

        def command(**given: Any) -> None:
            values = own(**{one.name: given.pop(one.name) for one in first})
            _act(name.replace("-", "_"), values, **given)

        command.__doc__ = own.__doc__
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        examinations.command(name)(command)
        return own

    return register


@_command("exclude")
def exclude(reason: Reason) -> Values:
    """Exclude the cases of examinations from assignment and training. Nothing is deleted."""
    return {"reason": reason}


@_command("include")
def include() -> Values:
    """Include excluded cases again."""
    return {}


@_command("admit")
def admit() -> Values:
    """Admit the participants of examinations that are kept for evaluation only, each with all cases."""
    return {}


@_command("assign")
def assign(reader: ReaderName, days: Days = 7) -> Values:
    """Assign cases to a reader, who gets them next. What is not opened in time returns to the queue."""
    return {"reader": reader, "days": days}


@_command("second-reading")
def second_reading(reader: ReaderName, days: Days = 7) -> Values:
    """Ask a reader to read annotated cases a second time, from the draft."""
    return {"reader": reader, "days": days}


@_command("return")
def return_to_queue() -> Values:
    """Return cases to the queue, whoever has them."""
    return {}


@_command("priority")
def priority(level: Level) -> Values:
    """Set the priority of cases: waiting ones of a high one are drafted and assigned before all others."""
    from mrseg_label.catalog.types import Priority

    return {"priority": Priority(level)}
