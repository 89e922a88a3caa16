"""Acquisitions: look them up, count them, and lock the case that is assigned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypeVar

from sqlalchemy import ScalarSelect, Select, bindparam, exists, func, select, union
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.channel_types import Labelled
from mrseg_label.catalog.queries import case_counts, concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Assignment,
    Examination,
    Participant,
    Presegmentation,
    RoundDraft,
)
from mrseg_label.catalog.types import CaseState

Found = TypeVar("Found")
_IDS_PER_QUERY = 500  # databases limit the number of values in a query


@dataclass(frozen=True)
class CaseCounts:
    """How far the workspace is, counted in acquisitions (channels that share an annotation count once).

    Attributes
    ----------
    assigned : readers have them now, to annotate, to read a second time or to review.
    being_annotated : not annotated yet; assigned, or awaiting review.
    awaiting_review : an annotation of them does, be it a first or a further one.
    excluded : those that are kept for evaluation alone left out.
    """

    annotated_total: int
    waiting: int
    assigned: int
    being_annotated: int
    awaiting_review: int
    excluded: int


def get(session: Session, acquisition_id: str) -> Acquisition | None:
    """An acquisition by id."""
    return session.get(Acquisition, acquisition_id)


def lock(session: Session, acquisition_id: str) -> Acquisition | None:
    """An acquisition, locked against changes by others until the end of this transaction."""
    return session.get(Acquisition, acquisition_id, with_for_update={"of": Acquisition})


def lock_all(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Acquisition]:
    """Those of some acquisitions that there are, by id, locked as by :func:`lock`; always in one order, against deadlocks."""
    query = select(Acquisition).where(Acquisition.id.in_(acquisition_ids)).order_by(Acquisition.id)
    locked = session.scalars(query.with_for_update(of=Acquisition).execution_options(populate_existing=True))
    return {row.id: row for row in locked.unique()}


def try_lock(session: Session, acquisition_id: str) -> bool:
    """Lock an acquisition as :func:`lock` does; False, without waiting, if another transaction has locked it."""
    query = select(Acquisition.id).where(Acquisition.id == acquisition_id)
    return session.scalars(_first_unlocked(query)).one_or_none() is not None


def of_participant(session: Session, participant_id: str, station: str | None = None) -> Sequence[Acquisition]:
    """Acquisitions of a participant (at one station), oldest first."""
    query = select(Acquisition).where(Acquisition.participant_id == participant_id)
    if station is not None:
        query = query.where(Acquisition.station == station)
    return session.scalars(query.order_by(Acquisition.created_at, Acquisition.id)).all()


def in_use(session: Session, acquisition_id: str) -> bool:
    """Whether it has been pre-segmented, assigned or annotated, so that its primary examination must not change."""
    return any(
        session.scalar(select(func.count()).select_from(table).where(table.acquisition_id == acquisition_id))
        for table in (Presegmentation, Assignment, Annotation)
    )


def has_readers_work(session: Session, acquisition_id: str) -> bool:
    """Whether it has been assigned or annotated, or a pretraining learned from its draft."""
    return any(
        session.scalar(select(func.count()).select_from(table).where(table.acquisition_id == acquisition_id))
        for table in (Assignment, Annotation, RoundDraft)
    )


def channels(session: Session, acquisition_id: str) -> Sequence[Examination]:
    """All examinations of an acquisition."""
    return session.scalars(_channels(), {"acquisition": acquisition_id}).unique().all()


@cache
def _channels() -> Select[Examination]:
    of_case = Examination.acquisition_id == bindparam("acquisition")
    return select(Examination).where(of_case).order_by(Examination.id)


def primary_of(session: Session, acquisition_id: str) -> Examination | None:
    """The channel of an acquisition that is pre-segmented and opened."""
    return session.scalars(_primary(), {"acquisition": acquisition_id}).one_or_none()


@cache
def _primary() -> Select[Examination]:
    return (
        select(Examination)
        .join(Acquisition, Acquisition.id == Examination.acquisition_id)
        .where(Acquisition.id == bindparam("acquisition"), Examination.id == Acquisition.primary_examination_id)
    )


def opened_image(session: Session, acquisition_id: str) -> tuple[str, str]:
    """The id and the digest of the channel that is opened, of an acquisition that has one."""
    identifier, digest = session.execute(_opened(), {"acquisition": acquisition_id}).one()
    return identifier, digest


@cache
def _opened() -> Select[str, str]:
    return _primary().with_only_columns(Examination.id, Examination.digest)


def primary_ids(session: Session, *, annotated: bool | None = None) -> Sequence[str]:
    """Ids of the examinations that readers open: all, or only those with (without) an annotation."""
    query = select(Acquisition.primary_examination_id).where(concepts.is_usable())
    if annotated is not None:
        query = query.where(concepts.is_annotated() if annotated else ~concepts.is_annotated())
    ordered = query.order_by(Acquisition.created_at, Acquisition.id)
    return [identifier for identifier in session.scalars(ordered) if identifier]


def counts(session: Session, moment: datetime) -> CaseCounts:
    """How far the workspace is: stored counts, less what readers do now, of which there are few."""
    stored = case_counts.by_state(session)
    included = concepts.is_included()
    being_annotated = Acquisition.id.in_(
        union(concepts.assigned_cases(moment, second_reading=False), concepts.cases_awaiting_review())
    )
    begun = (included, ~concepts.is_annotated(), being_annotated)
    begun_without_image = _count(session, *begun, Acquisition.primary_examination_id.is_(None))
    begun_count = _count(session, *begun)
    return CaseCounts(
        annotated_total=stored[CaseState.ANNOTATED],
        waiting=stored[CaseState.WAITING] - (begun_count - begun_without_image),
        assigned=_count(session, included, Acquisition.id.in_(concepts.assigned_cases(moment))),
        being_annotated=begun_count,
        awaiting_review=_count(session, included, Acquisition.id.in_(concepts.cases_awaiting_review())),
        excluded=stored[CaseState.EXCLUDED] - _count(session, ~included, Acquisition.evaluation_only.is_(True)),
    )


def totals(session: Session) -> tuple[int, int]:
    """Acquisitions that are included, and how many of them are annotated."""
    stored = case_counts.by_state(session)
    return stored.total() - stored[CaseState.EXCLUDED], stored[CaseState.ANNOTATED]


def coverage(session: Session) -> Sequence[tuple[str, str, int, int]]:
    """Station, sequence, number of included cases and of annotated ones among them, by name of the station."""
    cases: Counter[tuple[str, str]] = Counter()
    annotated: Counter[tuple[str, str]] = Counter()
    for group, count in case_counts.by_group(session).items():
        if group.state is not CaseState.EXCLUDED:
            cases[group.station, group.sequence] += count
            annotated[group.station, group.sequence] += count if group.state is CaseState.ANNOTATED else 0
    return [(*group, count, annotated[group]) for group, count in sorted(cases.items())]


def participants_annotated(session: Session) -> tuple[int, int]:
    """Participants with an included case, and how many of them have an annotated one.

    Those without one are found from what is excluded, of which there is little. Only an excluded participant can be left without
    any image (:mod:`mrseg_label.intake.editing`).
    """
    other = aliased(Acquisition)
    has_included = exists().where(other.participant_id == Acquisition.participant_id, other.excluded_at.is_(None))
    has_any = exists().where(Acquisition.participant_id == Participant.id)
    of_excluded = select(Acquisition.participant_id).where(~concepts.is_included(), ~has_included)
    without_any = select(Participant.id).where(Participant.excluded_at.is_not(None), ~has_any)
    without = union(of_excluded, without_any).subquery()
    people = session.scalars(select(func.count()).select_from(Participant)).one()
    annotated = select(func.count(Acquisition.participant_id.distinct())).where(
        concepts.is_included(), concepts.is_annotated()
    )
    return people - session.scalars(select(func.count()).select_from(without)).one(), session.scalars(annotated).one()


def annotated_since_round(session: Session) -> int:
    """Acquisitions that count towards the next round."""
    return _count(session, concepts.is_new_for_round())


def new_examinations(session: Session) -> int:
    """Examinations that carry a mask, drawn or propagated, of the acquisitions that count towards the next round."""
    query = (
        select(func.count()).select_from(Examination).join(Acquisition, Acquisition.id == Examination.acquisition_id)
    )
    return session.scalars(query.where(concepts.is_new_for_round(), Examination.labelled.is_not(None))).one()


def labelled(session: Session) -> dict[Labelled, int]:
    """How many examinations of included cases carry a mask that was drawn on them, and how many a propagated one."""
    query = (
        select(Examination.labelled, func.count())
        .where(Examination.labelled.is_not(None), Examination.case_state == CaseState.ANNOTATED)
        .group_by(Examination.labelled)
    )
    found = {how: int(count) for how, count in session.execute(query) if how is not None}
    return {how: found.get(how, 0) for how in Labelled}


def propagated_images() -> ScalarSelect[int]:
    """Number of images of an :class:`Acquisition` that carry its mask by propagation, for a query that must not count the case more than once."""
    return (
        select(func.count())
        .where(Examination.acquisition_id == Acquisition.id, Examination.labelled == Labelled.PROPAGATED)
        .correlate(Acquisition)
        .scalar_subquery()
    )


def being_annotated(session: Session, acquisition_ids: Sequence[str], moment: datetime) -> set[str]:
    """Those of some acquisitions that are being annotated."""
    found: set[str] = set()
    for start in range(0, len(acquisition_ids), _IDS_PER_QUERY):
        ids = acquisition_ids[start : start + _IDS_PER_QUERY]
        query = select(Acquisition.id).where(Acquisition.id.in_(ids), concepts.is_being_annotated(moment))
        found |= set(session.scalars(query))
    return found


def lock_waiting(session: Session, moment: datetime, acquisition_id: str) -> bool:
    """Lock that acquisition if it waits for a reader; False if it does not, or if another transaction has locked it."""
    return session.scalars(_waiting(), {"moment": moment, "acquisition": acquisition_id}).one_or_none() is not None


@cache
def _waiting() -> Select[str]:
    wanted = concepts.is_waiting(concepts.MOMENT), Acquisition.id == bindparam("acquisition")
    return _first_unlocked(select(Acquisition.id).where(*wanted))


def for_second_reading(
    session: Session, moment: datetime, reader: Reader, acquisition_id: str | None
) -> Acquisition | None:
    """An annotated case, not annotated by this reader, that nobody reads a second time or reviews now.

    The case with the fewest readings; or the one with the given id, if it is such a case.
    """
    read = select(Annotation.id).where(Annotation.acquisition_id == Acquisition.id, Annotation.author == reader.name)
    readings = (
        select(func.count(Annotation.author.distinct()))
        .where(Annotation.acquisition_id == Acquisition.id)
        .correlate(Acquisition)
        .scalar_subquery()
    )
    query = select(Acquisition).where(
        concepts.is_usable(),
        concepts.is_annotated(),
        ~read.exists(),
        ~concepts.is_assigned(moment, second_reading=True),
    )
    if acquisition_id is not None:
        query = query.where(Acquisition.id == acquisition_id)
    return _first(session, query.order_by(readings, Acquisition.shuffle, Acquisition.id))


def _first(session: Session, query: Select[Acquisition]) -> Acquisition | None:
    """The first acquisition that a query finds, apart from those that another process just chose."""
    return session.scalars(_first_unlocked(query)).unique().one_or_none()


def _first_unlocked(query: Select[Found]) -> Select[Found]:
    # Other server processes that choose at the same moment skip this row (PostgreSQL); SQLite has one writer anyway.
    return query.limit(1).with_for_update(skip_locked=True, of=Acquisition)


def _count(session: Session, *conditions: concepts.Condition) -> int:
    return session.scalars(select(func.count()).select_from(Acquisition).where(*conditions)).one()


def count_ready(session: Session, moment: datetime) -> int:
    """How many cases wait for a reader and have a draft."""
    query = select(func.count()).select_from(Acquisition).where(concepts.is_waiting(moment), Acquisition.has_draft)
    return session.scalars(query).one()
