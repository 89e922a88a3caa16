"""The cases that a model may be judged on: those of held-out participants, and of cohorts that serve evaluation alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.tables import Acquisition, Annotation, Participant


def judged_cases(
    session: Session, cohort: str | None = None, *, held_out: bool = True
) -> Sequence[tuple[Annotation, Acquisition]]:
    """The mask of each such case, by participant and station.

    Parameters
    ----------
    cohort : only participants of this one.
    held_out : whether held-out participants are among them; no, for a model that was trained on them.
    """
    newest = newest_finals()
    of_evaluation = and_(Acquisition.evaluation_only, Participant.excluded_at.is_(None))
    of_study = and_(concepts.is_included(), Participant.held_out.is_(True))
    query = (
        select(Annotation, Acquisition)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(or_(of_evaluation, of_study) if held_out else of_evaluation)
        .order_by(Participant.code, Acquisition.station, Acquisition.id)
    )
    if cohort is not None:
        query = query.where(Participant.cohort == cohort)
    return [(annotation, case) for annotation, case in session.execute(query).unique()]
