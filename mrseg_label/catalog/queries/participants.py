"""Participants, and which of them are held out from training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import Acquisition, Examination, Participant

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 2
_CODES_PER_QUERY = 500  # databases limit the number of values in a query
# Any number that is used for no other lock.
_IMPORT_LOCK = 0x6D727367


@dataclass(frozen=True)
class ParticipantFilter:
    """Which participants are listed; None does not restrict.

    Attributes
    ----------
    incomplete : only those whose sex or age is unknown, or only the others.
    evaluation_only : only those whose cases serve evaluation alone, or only the others.
    """

    held_out: bool | None = None
    excluded: bool | None = None
    incomplete: bool | None = None
    evaluation_only: bool | None = None
    cohort: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Translate the filter into SQL conditions."""
        conditions: list[ColumnElement[bool]] = []
        if self.held_out is not None:
            conditions.append(Participant.held_out.is_(self.held_out))
        if self.excluded is not None:
            out = Participant.excluded_at.is_not(None)
            conditions.append(out if self.excluded else ~out)
        if self.incomplete is not None:
            unknown = or_(Participant.sex.is_(None), Participant.age.is_(None))
            conditions.append(unknown if self.incomplete else ~unknown)
        if self.evaluation_only is not None:
            conditions.append(Participant.evaluation_only.is_(self.evaluation_only))
        if self.cohort is not None:
            conditions.append(Participant.cohort == self.cohort)
        return conditions


@dataclass(frozen=True)
class ParticipantCounts:
    """A participant, and how many cases and images there are of them."""

    participant: Participant
    cases: int
    annotated: int
    examinations: int


def page(
    session: Session, wanted: ParticipantFilter, limit: int, after: str | None = None
) -> Sequence[ParticipantCounts]:
    """Participants by code, from behind a code on, with what there is of them."""
    cases = select(func.count()).select_from(Acquisition).where(Acquisition.participant_id == Participant.id)
    images = select(func.count()).select_from(Examination).join(Acquisition)
    query = select(
        Participant,
        cases.correlate(Participant).scalar_subquery(),
        cases.where(concepts.is_annotated()).correlate(Participant).scalar_subquery(),
        images.where(Acquisition.participant_id == Participant.id).correlate(Participant).scalar_subquery(),
    ).where(*wanted.conditions())
    if after is not None:
        query = query.where(Participant.code > after)
    return [ParticipantCounts(*row) for row in session.execute(query.order_by(Participant.code).limit(limit))]


def count(session: Session, wanted: ParticipantFilter) -> int:
    """How many participants there are of the kind that is wanted."""
    query = select(func.count()).select_from(Participant).where(*wanted.conditions())
    return session.scalars(query).one()


def by_code(session: Session, code: str, *, lock: bool = False) -> Participant | None:
    """A participant by code; ``lock`` makes other imports of this participant wait (PostgreSQL)."""
    query = select(Participant).where(Participant.code == code)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def codes_of_cohort(session: Session, cohort: str) -> Sequence[str]:
    """Codes of the participants of a cohort, in their order."""
    query = select(Participant.code).where(Participant.cohort == cohort)
    return session.scalars(query.order_by(Participant.code)).all()


def known_codes(session: Session, codes: Sequence[str]) -> set[str]:
    """Those of some codes that participants have."""
    found: set[str] = set()
    for start in range(0, len(codes), _CODES_PER_QUERY):
        query = select(Participant.code).where(Participant.code.in_(codes[start : start + _CODES_PER_QUERY]))
        found |= set(session.scalars(query))
    return found


def lock_imports(session: Session) -> None:
    """Make imports record one after the other, so that none misses what another records at the same moment.

    SQLite has one writer anyway; on PostgreSQL the lock is released at the end of the transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_IMPORT_LOCK)))


def decide_held_out(session: Session) -> None:
    """Decide for every new participant whether models are tested, instead of trained, on their cases.

    A fifth of all participants are held out, at least two but never all: the first in the order of the SHA-256 of
    their codes. A decision is final, so that no model is tested on cases that an earlier one was trained on.
    Participants with images of one scan, which an import warns of, are decided alike. Of participants whose cases serve
    evaluation alone nothing is decided.
    """
    undecided = dict(session.execute(_undecided()).all())
    if not undecided:
        return
    in_study = ~Participant.evaluation_only
    total = session.scalars(select(func.count()).select_from(Participant).where(in_study)).one()
    held = session.scalars(select(func.count()).select_from(Participant).where(Participant.held_out.is_(True))).one()
    wanted = max(0, held_out_count(total) - held)
    linked = linked_by_scan(
        session, lambda participant: participant.held_out.is_(None), many=len(undecided) > _CODES_PER_QUERY
    )
    decided: dict[str, bool] = {}
    for identifier in sorted(undecided, key=lambda one: _rank(undecided[one])):
        if identifier in decided:
            continue  # with another
        group = _linked_to(identifier, linked)
        sides = {other.held_out for other in group.values() if other.held_out is not None}
        new = [identifier, *(other for other in group if other in undecided)]
        # A side that was decided wins; the training side where both were: no model is tested on what it was trained on.
        is_held_out = sides == {True} if sides else len(new) <= wanted < total
        decided |= dict.fromkeys(new, is_held_out)
        wanted -= len(new) if is_held_out else 0
    for is_held_out in (True, False):
        ids = [identifier for identifier, side in decided.items() if side is is_held_out]
        for start in range(0, len(ids), _CODES_PER_QUERY):
            these = Participant.id.in_(ids[start : start + _CODES_PER_QUERY])
            # Unless somebody else decided meanwhile: a decision is final.
            session.execute(
                update(Participant).where(these, Participant.held_out.is_(None)).values(held_out=is_held_out)
            )


@cache
def _undecided() -> Select[str, str]:
    """Columns alone: there may be tens of thousands of participants after an import."""
    in_study = ~Participant.evaluation_only
    return select(Participant.id, Participant.code).where(Participant.held_out.is_(None), in_study)


def any_undecided(session: Session) -> bool:
    """Whether :func:`decide_held_out` would decide anything."""
    return session.execute(_undecided().limit(1)).first() is not None


def without_fold(session: Session, among: Collection[str]) -> Sequence[Participant]:
    """Those of some participants, by id, who have no place in the folds yet."""
    ids, found = sorted(among), list[Participant]()
    for start in range(0, len(ids), _CODES_PER_QUERY):
        these = Participant.id.in_(ids[start : start + _CODES_PER_QUERY])
        found += session.scalars(select(Participant).where(these, Participant.fold_position.is_(None)))
    return found


def decide_fold_positions(session: Session, joined: Iterable[Participant]) -> None:
    """Number the participants who join the training now, after those who joined before, in the order of their hashes.

    A number is final, so that nobody's fold changes when others join. Participants with images of one scan get one
    number: a network would otherwise be validated on an image that it was trained on.
    """
    new = {participant for participant in joined if participant.fold_position is None}
    if not new:
        return
    following = session.scalars(select(func.max(Participant.fold_position))).one()
    following = 0 if following is None else following + 1
    linked = _all_linked(session, [participant.id for participant in new], lambda other: other.fold_position is None)
    for participant in sorted(new, key=lambda one: _rank(one.code)):
        if participant.fold_position is not None:
            continue  # numbered with another
        group = _group_of(participant, linked)
        known = [other.fold_position for other in group if other.fold_position is not None]
        for other in group & new:
            other.fold_position = min(known, default=following)
        following += not known
    session.flush()


def linked_by_scan(
    session: Session, of: Callable[[type[Participant]], ColumnElement[bool]], *, many: bool = False
) -> dict[str, set[Participant]]:
    """Find for each participant of a kind, by id, the others who have an image with the same voxels.

    Parameters
    ----------
    many : look for voxels that several images have first, which is quicker where many participants are of the kind.
    """
    mine, theirs = aliased(Examination), aliased(Examination)
    my_acquisition, their_acquisition = aliased(Acquisition), aliased(Acquisition)
    me, them = aliased(Participant), aliased(Participant)
    query = (
        select(me.id, them)
        .join(my_acquisition, my_acquisition.participant_id == me.id)
        .join(mine, mine.acquisition_id == my_acquisition.id)
        .join(theirs, theirs.fingerprint == mine.fingerprint)
        .join(their_acquisition, their_acquisition.id == theirs.acquisition_id)
        .join(them, them.id == their_acquisition.participant_id)
        .where(of(me), mine.fingerprint != "", them.id != me.id)
    )
    if many:
        of_several = select(Examination.fingerprint).where(Examination.fingerprint != "")
        query = query.where(mine.fingerprint.in_(of_several.group_by(Examination.fingerprint).having(func.count() > 1)))
    linked: dict[str, set[Participant]] = {}
    for identifier, other in session.execute(query):
        linked.setdefault(identifier, set()).add(other)
    return linked


def count_people(session: Session, among: Iterable[Participant]) -> int:
    """How many people these participants are; two with an image of the same voxels are one."""
    remaining = {participant.id: participant for participant in among}
    linked = _all_linked(session, remaining)
    people = 0
    while remaining:
        _, participant = remaining.popitem()
        people += 1
        for other in _group_of(participant, linked):
            remaining.pop(other.id, None)
    return people


def _all_linked(
    session: Session, among: Iterable[str], through: Callable[[Participant], bool] = lambda _: True
) -> dict[str, set[Participant]]:
    """Find as :func:`linked_by_scan` for participants, by id, and for those whom they are linked to ``through`` others."""
    linked: dict[str, set[Participant]] = {}
    seen, waiting = set[str](), set(among)
    while waiting:
        ids, found = sorted(waiting), dict[str, set[Participant]]()
        for start in range(0, len(ids), _CODES_PER_QUERY):
            found |= linked_by_scan(session, partial(_is_one_of, ids[start : start + _CODES_PER_QUERY]))
        linked |= found
        seen |= waiting
        waiting = {other.id for others in found.values() for other in others if through(other)} - seen
    return linked


def _is_one_of(ids: Sequence[str], participant: type[Participant]) -> ColumnElement[bool]:
    return participant.id.in_(ids)


def _linked_to(identifier: str, linked: dict[str, set[Participant]]) -> dict[str, Participant]:
    """Return all who are linked to a participant, directly or through others, by id."""
    group: dict[str, Participant] = {}
    waiting = [identifier]
    while waiting:
        new = {one.id: one for one in linked.get(waiting.pop(), ()) if one.id != identifier and one.id not in group}
        group |= new
        waiting += new
    return group


def _group_of(participant: Participant, linked: dict[str, set[Participant]]) -> set[Participant]:
    """Return a participant with all who are linked to them, directly or through others."""
    group, waiting = {participant}, [participant]
    while waiting:
        new = linked.get(waiting.pop().id, set()) - group
        group |= new
        waiting += new
    return group


def held_out_count(participants: int) -> int:
    """How many of so many participants are held out."""
    return min(max(MIN_HELD_OUT, math.ceil(HELD_OUT_SHARE * participants)), max(0, participants - 1))


def _rank(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
