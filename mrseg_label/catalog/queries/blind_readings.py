"""Gold cases, cases that a reader gets again, and cases without a draft: what can be assigned, and what was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased, lazyload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Account,
    Acquisition,
    Annotation,
    Assignment,
    GoldCase,
    Participant,
    Presegmentation,
)
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, BlindKind, Role

_IDS_PER_QUERY = 500  # databases limit the number of values in a query


class BlindCase(NamedTuple):
    """A case that a reader may get without knowing why, and the annotation that theirs is compared with."""

    case: Acquisition
    annotation_id: str


class BlindReading(NamedTuple):
    """An annotation of a gold or repeated case, with its assignment and the annotation that it is compared with."""

    assignment: Assignment
    annotation: Annotation
    compared: Annotation


class DrawnReading(NamedTuple):
    """An annotation of a case for which it was drawn whether its reader gets a draft."""

    assignment: Assignment
    annotation: Annotation


def number_of_assignments(session: Session, account: str) -> int:
    """How many cases an account got so far."""
    query = select(func.count()).select_from(Assignment).where(Assignment.account == account)
    return session.scalars(query).one()


def any_blind(session: Session) -> bool:
    """Whether a reader ever got a case without knowing why."""
    return session.scalars(select(Assignment.id).where(Assignment.blind.is_not(None)).limit(1)).first() is not None


def next_gold(session: Session, moment: datetime, reader: Reader) -> BlindCase | None:
    """The gold case that this reader has not read, and that fewest have; None if there is none."""
    mine, others, own = aliased(Annotation), aliased(Assignment), aliased(Assignment)
    read = exists().where(mine.acquisition_id == GoldCase.acquisition_id, mine.author == reader.name)
    has_it = exists().where(
        own.acquisition_id == GoldCase.acquisition_id, own.account == reader.account, concepts.is_open(own, moment)
    )
    readings = (
        select(func.count())
        .select_from(others)
        .where(others.acquisition_id == GoldCase.acquisition_id, others.blind == BlindKind.GOLD)
        .scalar_subquery()
    )
    query = (
        select(Acquisition, GoldCase.annotation_id)
        .join(GoldCase, GoldCase.acquisition_id == Acquisition.id)
        .where(concepts.is_usable(), ~read, ~has_it)
        .order_by(readings, Acquisition.shuffle, Acquisition.id)
        .limit(1)
    )
    found = session.execute(query).unique().one_or_none()
    return None if found is None else BlindCase(*found)


def next_repeat(session: Session, moment: datetime, reader: Reader, after: timedelta) -> BlindCase | None:
    """The case that this reader finished longest ago, at least so long before, and has not got again; None if there is none."""
    again, first = aliased(Assignment), aliased(Assignment)
    done = exists().where(
        again.acquisition_id == Annotation.acquisition_id,
        again.account == reader.account,
        again.blind.is_not(None),
        (again.outcome == AssignmentOutcome.SUBMITTED) | concepts.is_open(again, moment),
    )
    newer = aliased(Annotation)
    corrected = exists().where(
        newer.acquisition_id == Annotation.acquisition_id, newer.number > Annotation.number, newer.is_final
    )
    has_it = exists().where(
        again.acquisition_id == Annotation.acquisition_id,
        again.account == reader.account,
        concepts.is_open(again, moment),
    )
    query = (
        select(Acquisition, Annotation.id)
        .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        .join(first, first.id == Annotation.assignment_id)
        .where(concepts.is_usable(), Annotation.author == reader.name, Annotation.is_final)
        .where(Annotation.state == AnnotationState.ACCEPTED, Annotation.version.is_(None))
        .where(Annotation.created_at <= moment - after, first.blind.is_(None), first.annotation_id.is_(None))
        .where(~done, ~corrected, ~has_it)
        .order_by(Annotation.created_at, Annotation.id)
        .limit(1)
    )
    found = session.execute(query).unique().one_or_none()
    return None if found is None else BlindCase(*found)


def blind_readings(session: Session, kind: BlindKind, account: str | None = None) -> Sequence[BlindReading]:
    """What readers first submitted of cases of a kind, unless it was withdrawn, oldest first."""
    compared, earlier = aliased(Annotation), aliased(Annotation)
    is_first = ~exists().where(earlier.assignment_id == Annotation.assignment_id, earlier.number < Annotation.number)
    query = (
        select(Assignment, Annotation, compared)
        .join(Annotation, Annotation.assignment_id == Assignment.id)
        .join(compared, compared.id == Assignment.blind_of)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .options(lazyload(Annotation.structures), lazyload(compared.structures))
        .where(Assignment.blind == kind, is_first, concepts.is_included())
        .order_by(Annotation.created_at, Annotation.id)
    )
    if account is not None:
        query = query.where(Assignment.account == account)
    return [BlindReading(*row) for row in session.execute(query).unique()]


def drawn_readings(session: Session) -> Sequence[DrawnReading]:
    """What readers first submitted of the cases for which a draft was drawn, oldest first; repeated cases too."""
    earlier = aliased(Annotation)
    is_first = ~exists().where(earlier.assignment_id == Annotation.assignment_id, earlier.number < Annotation.number)
    query = (
        select(Assignment, Annotation)
        .join(Annotation, Annotation.assignment_id == Assignment.id)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .options(lazyload(Annotation.structures))
        .where(Assignment.draft_withheld.is_not(None), is_first, concepts.is_included())
        .order_by(Annotation.created_at, Annotation.id)
    )
    return [DrawnReading(*row) for row in session.execute(query).unique()]


def draft_of(session: Session, annotation: Annotation) -> Presegmentation | None:
    """The draft that a reader had or, where it was withheld, would have had: the newest before, else the first after."""
    if annotation.presegmentation_id is not None:
        return session.get(Presegmentation, annotation.presegmentation_id)
    of_case = select(Presegmentation).where(Presegmentation.acquisition_id == annotation.acquisition_id)
    made = Presegmentation.created_at
    before = of_case.where(made <= annotation.created_at).order_by(made.desc(), Presegmentation.id)
    found = session.scalars(before.limit(1)).first()
    return found or session.scalars(of_case.order_by(made, Presegmentation.id).limit(1)).first()


def account_named(session: Session, name: str) -> Account | None:
    """An account by name."""
    return session.get(Account, name)


def gold_of(session: Session, acquisition_id: str) -> GoldCase | None:
    """What makes a case a gold case, if it is one."""
    return session.get(GoldCase, acquisition_id)


def case_of(session: Session, annotation: Annotation) -> Acquisition:
    """The case of an annotation."""
    case = session.get(Acquisition, annotation.acquisition_id)
    assert case is not None
    return case


def radiologists(session: Session) -> Sequence[str]:
    """Names of the accounts of radiologists who may sign in."""
    query = select(Account.name).where(Account.role == Role.RADIOLOGIST, Account.disabled_at.is_(None))
    return session.scalars(query.order_by(Account.name)).all()


def participants_of(session: Session, acquisition_ids: Collection[str]) -> dict[str, str]:
    """Codes of the participants of some cases."""
    found: dict[str, str] = {}
    wanted = sorted(set(acquisition_ids))
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        query = select(Acquisition.id, Participant.code).join(Participant)
        query = query.where(Acquisition.id.in_(wanted[start : start + _IDS_PER_QUERY]))
        found |= dict(session.execute(query).all())
    return found


def gold_cases(session: Session) -> Sequence[tuple[GoldCase, Acquisition, int]]:
    """Gold cases with the number of readers who got each, newest first."""
    readers = (
        select(func.count(Assignment.account.distinct()))
        .where(Assignment.acquisition_id == GoldCase.acquisition_id, Assignment.blind == BlindKind.GOLD)
        .scalar_subquery()
    )
    query: Any = (
        select(GoldCase, Acquisition, readers)
        .join(Acquisition, Acquisition.id == GoldCase.acquisition_id)
        .order_by(GoldCase.created_at.desc(), GoldCase.acquisition_id)
    )
    return [(gold, case, count) for gold, case, count in session.execute(query).unique()]


def awaits_qualification(session: Session, reader: Reader) -> bool:
    """Whether the annotations of this radiologist do not count yet."""
    if reader.account is None:
        return False
    account = session.get(Account, reader.account)
    return account is not None and account.role is Role.RADIOLOGIST and account.qualified_at is None
