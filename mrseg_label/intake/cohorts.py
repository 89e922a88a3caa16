"""Admit participants who served evaluation alone: from then on readers get their cases and models learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.many_cases import CasesChanged, change_cases
from mrseg_label.catalog.queries import acquisitions, audit, participants
from mrseg_label.catalog.tables import Acquisition, Participant
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake.exclusion import mark_excluded
from mrseg_label.jobs import queue


def admit(catalog: Catalog, codes: Sequence[str], cohort: str | None = None, *, actor: str) -> list[str]:
    """Admit participants to the study with all their cases, those that are imported later included.

    Their masks that came with the import are trained on from the next round on, and those without one wait for readers.
    Whether models are tested on them instead is decided as for every new participant. What is excluded stays so.

    Parameters
    ----------
    cohort : all participants of this one, instead of named ones.

    Returns
    -------
    Codes of the participants who were admitted.

    Raises
    ------
    InvalidInput
        Neither codes nor a cohort, or both.
    NotFound
        There is no such participant or cohort.
    Conflict
        All of them take part in the study already.
    """
    if bool(codes) == (cohort is not None):
        raise InvalidInput("name participants, or a cohort")
    with catalog.begin() as session:
        named = participants.codes_of_cohort(session, cohort) if cohort is not None else list(dict.fromkeys(codes))
        if not named:
            raise NotFound(f"there is no cohort {cohort!r}; list participants with: mrseg-label participants list")
        admitted = []
        for code in named:
            person = participants.by_code(session, code, lock=True)
            if person is None:
                raise NotFound(f"there is no participant {code!r}")
            if person.evaluation_only:
                _admit(session, person, actor)
                admitted.append(code)
        if not admitted:
            raise Conflict("they take part in the study already: nothing is kept for evaluation only")
        queue.enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)
    return admitted


def admit_cases(catalog: Catalog, acquisition_ids: Sequence[str], *, actor: str) -> CasesChanged:
    """Admit the participants of many cases, each with all cases, as :func:`admit` does."""
    admitted: set[str] = set()

    def change(session: Session, case: Acquisition, _moment: datetime) -> str | None:
        person = case.participant
        if person.evaluation_only:
            _admit(session, person, actor)
            admitted.add(person.id)
        return None if person.id in admitted else "it is not kept for evaluation only"

    done = change_cases(catalog, acquisition_ids, change)
    if done.changed:
        with catalog.begin() as session:
            queue.enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)
    return done


def _admit(session: Session, person: Participant, actor: str) -> None:
    person.evaluation_only = False
    cases = [one for one in acquisitions.of_participant(session, person.id) if one.evaluation_only]
    for case in cases:
        if person.excluded_at is None:
            mark_excluded(case, None, None, None)
        else:
            mark_excluded(case, person.excluded_at, person.excluded_by, person.excluded_reason)
    audit.record(session, actor, "admit", person.code, cohort=person.cohort, acquisitions=[case.id for case in cases])
