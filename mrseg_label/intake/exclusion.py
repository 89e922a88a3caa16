"""Exclude examinations or participants from assignment and training, with reason, author and date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.many_cases import CasesChanged, change_cases
from mrseg_label.catalog.queries import acquisitions as acquisition_rows
from mrseg_label.catalog.queries import audit, examinations, participants
from mrseg_label.catalog.tables import Acquisition, Participant
from mrseg_label.catalog.types import PROGRAM
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.ids import is_id

EVALUATION_ONLY = "kept for evaluation only"  # as the reason why a case is in no other part of the study
FOR_EVALUATION = f"it is {EVALUATION_ONLY}; admit its participant with: mrseg-label participants admit CODE"


def exclude(catalog: Catalog, subject: str, *, reason: str, actor: str) -> list[str]:
    """Exclude an acquisition, or a participant with all acquisitions, later ones included.

    Excluded cases are neither assigned nor trained on; nothing of them is deleted.

    Parameters
    ----------
    subject : id of an examination or of its acquisition, or code of a participant.
    actor : author of the exclusion.

    Returns
    -------
    Ids of the acquisitions that are newly excluded.

    Raises
    ------
    InvalidInput
        The reason is empty.
    NotFound
        There is no such examination, acquisition or participant.
    Conflict
        It is excluded already.
    """
    if not reason.strip():
        raise InvalidInput("an exclusion needs a reason")
    with catalog.begin() as session:
        participant, acquisitions = _find_subject(session, subject)
        moment = now()
        changed = [one for one in acquisitions if one.excluded_at is None or one.evaluation_only]
        if not changed and (participant is None or participant.excluded_at is not None):
            raise Conflict(f"{subject} is already excluded")
        _mark_all(participant, changed, moment, actor, reason.strip())
        ids = [acquisition.id for acquisition in changed]
        audit.record(session, actor, "exclude", subject, reason=reason.strip(), acquisitions=ids)
    return ids


def exclude_cases(catalog: Catalog, acquisition_ids: Sequence[str], *, reason: str, actor: str) -> CasesChanged:
    """Exclude many acquisitions, as :func:`exclude` does one. Raises :class:`InvalidInput` without a reason."""
    reason = reason.strip()
    if not reason:
        raise InvalidInput("an exclusion needs a reason")

    def change(session: Session, case: Acquisition, moment: datetime) -> str | None:
        if case.excluded_at is not None and not case.evaluation_only:
            return "it is excluded already"
        mark_excluded(case, moment, actor, reason)
        audit.record(session, actor, "exclude", case.id, reason=reason, acquisitions=[case.id])
        return None

    return change_cases(catalog, acquisition_ids, change)


def include_cases(catalog: Catalog, acquisition_ids: Sequence[str], *, actor: str) -> CasesChanged:
    """Undo the exclusion of many acquisitions; of an excluded participant all are included together, by :func:`include`."""

    def change(session: Session, case: Acquisition, _moment: datetime) -> str | None:
        if case.excluded_at is None:
            return "it is not excluded"
        if case.evaluation_only:
            return FOR_EVALUATION
        if case.participant.excluded_at is not None:
            return "its whole participant is excluded: include the participant first"
        mark_excluded(case, None, None, None)
        audit.record(session, actor, "include", case.id, acquisitions=[case.id])
        return None

    return change_cases(catalog, acquisition_ids, change)


def include(catalog: Catalog, subject: str, *, actor: str) -> list[str]:
    """Undo an exclusion; the audit trail keeps both.

    Returns
    -------
    Ids of the acquisitions that are included again.

    Raises
    ------
    NotFound
        There is no such examination, acquisition or participant.
    Conflict
        It is not excluded, or the whole participant is.
    """
    with catalog.begin() as session:
        participant, acquisitions = _find_subject(session, subject)
        changed = [one for one in acquisitions if one.excluded_at is not None and not one.evaluation_only]
        if not changed and any(one.evaluation_only for one in acquisitions):
            raise Conflict(f"{subject} is not excluded: {FOR_EVALUATION}")
        if not changed and (participant is None or participant.excluded_at is None):
            raise Conflict(f"{subject} is not excluded")
        if participant is None and acquisitions[0].participant.excluded_at is not None:
            code = acquisitions[0].participant.code
            raise Conflict(f"the whole participant {code} is excluded; include {code} first")
        _mark_all(participant, changed, None, None, None)
        ids = [acquisition.id for acquisition in changed]
        audit.record(session, actor, "include", subject, acquisitions=ids)
    return ids


def mark_excluded(
    row: Acquisition | Participant, moment: datetime | None, actor: str | None, reason: str | None
) -> None:
    """Write an exclusion into a row, or clear it with None.

    A case of a participant who serves evaluation alone does so again when its exclusion is cleared, and in no evaluation
    while it is excluded.
    """
    row.excluded_at, row.excluded_by, row.excluded_reason = moment, actor, reason
    if isinstance(row, Acquisition):
        row.evaluation_only = False
        if moment is None and row.participant.evaluation_only:
            keep_for_evaluation(row)


def keep_for_evaluation(case: Acquisition) -> None:
    """Keep a case for evaluation alone: in every other respect it is as if it were excluded."""
    case.excluded_at, case.excluded_by, case.excluded_reason = now(), PROGRAM, EVALUATION_ONLY
    case.evaluation_only = True


def _mark_all(
    participant: Participant | None,
    acquisitions: Sequence[Acquisition],
    moment: datetime | None,
    actor: str | None,
    reason: str | None,
) -> None:
    if participant is not None:
        mark_excluded(participant, moment, actor, reason)
    for acquisition in acquisitions:
        mark_excluded(acquisition, moment, actor, reason)


def _find_subject(session: Session, subject: str) -> tuple[Participant | None, Sequence[Acquisition]]:
    if is_id(subject):
        examination = examinations.get(session, subject)
        acquisition = examination.acquisition if examination else acquisition_rows.get(session, subject)
        if acquisition is not None:
            return None, [acquisition]
    participant = participants.by_code(session, subject)
    if participant is None:
        raise NotFound(f"there is no examination, acquisition or participant {subject!r}")
    return participant, acquisition_rows.of_participant(session, participant.id)
