"""What an administrator does with many cases at once, by one request, form or command, whatever rooms have a part in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.many_cases import CasesChanged
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH, Reader
from mrseg_label.catalog.types import Priority
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.cohorts import admit_cases
from mrseg_label.intake.exclusion import exclude_cases, include_cases
from mrseg_label.worklist import many_cases


class CaseActionKind(StrEnum):
    """What is done with cases."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    ASSIGN = "assign"
    SECOND_READING = "second_reading"
    RETURN = "return"
    PRIORITY = "priority"
    ADMIT = "admit"


@dataclass(frozen=True)
class CaseAction:
    """An action, with what it needs.

    Attributes
    ----------
    reason : of an exclusion.
    reader : who gets the cases: an account or, without sign-in, the user name in Slicer.
    days : how long the cases wait for the reader.
    """

    kind: CaseActionKind
    reason: str = ""
    reader: str = ""
    days: int = many_cases.DAYS
    priority: Priority = Priority.NORMAL

    def perform(self, workspace: OpenedWorkspace, acquisition_ids: Sequence[str], actor: str) -> CasesChanged:
        """Call the service function of the action. Raises what that raises."""
        catalog = workspace.catalog
        match self.kind:
            case CaseActionKind.EXCLUDE:
                return exclude_cases(catalog, acquisition_ids, reason=self.reason, actor=actor)
            case CaseActionKind.INCLUDE:
                return include_cases(catalog, acquisition_ids, actor=actor)
            case CaseActionKind.ASSIGN:
                reader = _reader_named(workspace, self.reader)
                return many_cases.assign_cases(catalog, acquisition_ids, reader, actor=actor, days=self.days)
            case CaseActionKind.SECOND_READING:
                reader = _reader_named(workspace, self.reader)
                return many_cases.ask_for_second_readings(catalog, acquisition_ids, reader, actor=actor, days=self.days)
            case CaseActionKind.RETURN:
                return many_cases.return_cases(catalog, acquisition_ids, actor=actor)
            case CaseActionKind.ADMIT:
                return admit_cases(catalog, acquisition_ids, actor=actor)
            case CaseActionKind.PRIORITY:
                return many_cases.set_priority(catalog, acquisition_ids, self.priority, actor=actor)


def _reader_named(workspace: OpenedWorkspace, name: str) -> Reader:
    """Return the reader to whom a case is assigned: an account or, without sign-in, the user name in Slicer.

    Raises
    ------
    InvalidInput, NotFound, Conflict
        Nobody has that name who could get a case.
    """
    if workspace.settings.auth == "on":
        return accounts.reader_of(workspace.catalog, name)
    name = name.strip()
    if not name or not name.isprintable() or len(name) > MAX_CLIENT_LENGTH:
        raise InvalidInput(
            f"name the reader, with at most {MAX_CLIENT_LENGTH} printable characters, as in Slicer's settings"
        )
    return Reader(name)
