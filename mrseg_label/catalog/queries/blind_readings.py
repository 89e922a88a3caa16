"""Gold cases, cases that a reader gets again, and cases without a draft: what can be assigned, and what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased, lazyload

from mrseg_label.catalog.channel_types import Labelled
from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Account,
    Acquisition,
    Annotation,
    Assignment,
    AuditEvent,
    Examination,
    GoldCase,
    Participant,
    Presegmentation,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, BlindKind, Role

CALLED_UNUSABLE = "called unusable"  # audit action: the reader thinks that the case is excluded
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


class BlindCounts(NamedTuple):
    """What a reader's gold and repeated cases would add to the counts of cases if they were ordinary ones.

    Attributes
    ----------
    assigned : cases that the reader has now.
    read : cases that were submitted, and that count or await review.
    excluded : cases that the reader called unusable.
    annotated, drawn, propagated : of those that count: cases, and images by how they carry the mask.
    new_cases, new_images : the same since the snapshot of the newest round.
    """

    assigned: int = 0
    read: int = 0
    excluded: int = 0
    annotated: int = 0
    drawn: int = 0
    propagated: int = 0
    new_cases: int = 0
    new_images: int = 0


def counts_of_reader(session: Session, account: str, moment: datetime) -> BlindCounts:
    """Count the gold and repeated cases that an account has and had."""
    is_blind = Assignment.account == account, Assignment.blind.is_not(None)
    assigned = select(func.count()).select_from(Assignment).where(*is_blind, concepts.is_open(Assignment, moment))
    newer = aliased(Annotation)
    # Cases and authors have indexes, and assignments of annotations none.
    is_newest = ~exists().where(
        newer.acquisition_id == Annotation.acquisition_id,
        newer.assignment_id == Annotation.assignment_id,
        newer.number > Annotation.number,
    )
    query = (
        select(Annotation.acquisition_id, Annotation.state, Annotation.created_at)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .where(Annotation.author == account, *is_blind, is_newest)
    )
    found = session.execute(query).all()
    in_snapshot = exists().where(RoundCase.round_number == Round.number)
    since = session.scalars(select(func.max(Round.created_at)).where(in_snapshot)).one()
    accepted = [(case, made) for case, state, made in found if state is AnnotationState.ACCEPTED]
    new = [case for case, made in accepted if since is None or made > since]
    called = AuditEvent.actor == account, AuditEvent.action == CALLED_UNUSABLE
    images = _labelled_images(session, {case for case, _ in accepted})
    return BlindCounts(
        assigned=session.scalars(assigned).one(),
        read=sum(state in (AnnotationState.ACCEPTED, AnnotationState.SUBMITTED) for _, state, _ in found),
        excluded=session.scalars(select(func.count(AuditEvent.subject.distinct())).where(*called)).one(),
        annotated=len(accepted),
        drawn=sum(images[case, Labelled.DRAWN] for case, _ in accepted),
        propagated=sum(images[case, Labelled.PROPAGATED] for case, _ in accepted),
        new_cases=len(new),
        new_images=sum(images[case, how] for case in new for how in Labelled),
    )


def _labelled_images(session: Session, acquisition_ids: Collection[str]) -> Counter[tuple[str, Labelled]]:
    """How many images of some cases carry their mask, by case and by how they carry it."""
    found: Counter[tuple[str, Labelled]] = Counter()
    wanted = sorted(acquisition_ids)
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        part = Examination.acquisition_id.in_(wanted[start : start + _IDS_PER_QUERY])
        columns = Examination.acquisition_id, Examination.labelled
        query = select(*columns, func.count()).where(part, Examination.labelled.is_not(None)).group_by(*columns)
        found.update({(case, how): int(count) for case, how, count in session.execute(query) if how is not None})
    return found


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
