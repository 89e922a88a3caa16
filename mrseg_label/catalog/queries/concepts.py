"""The states that a case can be in, each defined once as an SQL condition on :class:`Acquisition`.

Every query that counts, lists or chooses cases is made of these conditions, so that assignment, progress and
pre-segmentation ahead agree. Included cases with an image to open are annotated, being annotated, or waiting.

An annotation is submitted, accepted or rejected, and one that was withdrawn counts no more than if there had never
been one. Of all annotations of a case together this follows:

- Its mask is the newest accepted one that is not a second reading. With a mask it is annotated.
- Without a mask it is being annotated while any annotation awaits review, and waits otherwise.
- A rejected annotation comes back to its author until the author, or for a mask anybody, submits a newer one,
  whatever becomes of older ones and of second readings by others (:func:`is_sent_back`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, false, literal_column, or_, select, true
from sqlalchemy.orm import aliased

from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Review, RoundCase
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, CaseState, Priority, UtcDateTime, Verdict

Condition = ColumnElement[bool]
# The moment of a statement that is made once and executed with {"moment": ...}: to make one takes longer than to execute it.
MOMENT = bindparam("moment", type_=UtcDateTime())
Moment = datetime | ColumnElement[datetime]
# Under names of their own, since some queries join the same tables. Made once: that takes longer than most queries do.
_ASSIGNED = aliased(Assignment, name="assigned")
_AWAITING = aliased(Annotation, name="awaiting")


def is_included() -> Condition:
    """Excluded neither by itself nor with its participant."""
    return Acquisition.excluded_at.is_(None)


def is_usable() -> Condition:
    """Included, and with an image to open."""
    return and_(is_included(), Acquisition.primary_examination_id.is_not(None))


def has_priority(priority: Priority) -> Condition:
    """It has a priority. Few cases have another than the normal one, and a partial index has these."""
    wanted = Acquisition.priority == priority
    return wanted if priority is Priority.NORMAL else and_(wanted, has_another_priority())


def has_another_priority() -> Condition:
    """It has another priority than the normal one."""
    return Acquisition.priority != literal_column("'normal'")


def is_held_out(held_out: bool) -> Condition:
    """Its participant is held out from training, or is not; where that is not decided yet, neither."""
    return Acquisition.held_out == (true() if held_out else false())


def is_annotated() -> Condition:
    """An accepted annotation is its mask."""
    return Acquisition.annotated_at.is_not(None)


def is_open(assignment: type[Assignment], moment: Moment) -> Condition:
    """An assignment has neither ended nor expired; in Python :meth:`Assignment.is_open`."""
    return and_(assignment.ended_at.is_(None), assignment.expires_at > moment)


def is_assigned(
    moment: Moment, *, second_reading: bool | None = None, of: type[Acquisition] = Acquisition
) -> Condition:
    """A reader has the case now.

    Parameters
    ----------
    second_reading : only second readings and reviews, or only other assignments; None for all.
    of : the cases that are meant, where a query has two kinds.
    """
    assignment = _ASSIGNED
    # What readers must not find out about a case is no state of it.
    conditions = [assignment.acquisition_id == of.id, is_open(assignment, moment), assignment.blind.is_(None)]
    if second_reading is not None:
        # NOT, as in the partial index of open assignments; SQLite would not use that index for IS 0.
        conditions.append(assignment.second_reading.is_(True) if second_reading else ~assignment.second_reading)
    return _looked_up(assignment, *conditions)


def is_awaiting_review(of: type[Acquisition] = Acquisition) -> Condition:
    """An annotation of it has been submitted and not yet reviewed; ``of`` as for :func:`is_assigned`."""
    annotation = _AWAITING
    return _looked_up(annotation, annotation.acquisition_id == of.id, annotation.state == AnnotationState.SUBMITTED)


def _looked_up(table: type[Assignment] | type[Annotation], *conditions: Condition) -> Condition:
    """There is a row of which the conditions hold, looked up for each case by an index.

    PostgreSQL may make a join of EXISTS, which compares each case with each open assignment where it expects few of either;
    an offset keeps it from that.
    """
    return select(literal_column("1")).select_from(table).where(*conditions).offset(literal_column("0")).exists()


def assigned_cases(moment: Moment, *, second_reading: bool | None = None) -> Select[str]:
    """Ids of the acquisitions that readers have now; the same as :func:`is_assigned`, found from the assignments."""
    assignment = _ASSIGNED
    query = select(assignment.acquisition_id).where(is_open(assignment, moment), assignment.blind.is_(None))
    return query if second_reading is None else query.where(assignment.second_reading.is_(second_reading))


def cases_awaiting_review() -> Select[str]:
    """Ids of the acquisitions of which an annotation awaits review; the same as :func:`is_awaiting_review`."""
    annotation = _AWAITING
    return select(annotation.acquisition_id).where(annotation.state == AnnotationState.SUBMITTED)


def is_rejected_by_reviewer(annotation: type[Annotation]) -> Condition:
    """A reviewer rejected an annotation, and it was not withdrawn since."""
    review = aliased(Review)
    rejected = exists().where(
        review.annotation_id == annotation.id, review.verdict == Verdict.REJECTED, is_newest_review(review)
    )
    return and_(annotation.state == AnnotationState.REJECTED, rejected)


def is_newest_review(review: type[Review]) -> Condition:
    """No later decision about the same annotation has replaced a :class:`Review`."""
    later = aliased(Review)
    return ~exists().where(later.annotation_id == review.annotation_id, later.created_at > review.created_at)


def counts(annotation: type[Annotation]) -> Condition:
    """An annotation has its place in the history of its case: not a reviewer's own version before it is accepted."""
    return or_(annotation.version.is_(None), annotation.state == AnnotationState.ACCEPTED)


def is_sent_back() -> Condition:
    """An :class:`Annotation` comes back to its author: a reviewer rejected it, and nothing has taken its place.

    Its place is taken by a newer annotation of the case by the same author or, unless either is a second reading,
    by anybody. One that was withdrawn takes no place, nor does a reviewer's version before it is accepted, nor the reading of
    a gold or repeated case, except that of an earlier one of the same assignment.
    """
    newer, assignment = aliased(Annotation), aliased(Assignment)
    is_blind = exists().where(assignment.id == newer.assignment_id, assignment.blind.is_not(None))
    measures = and_(newer.assignment_id.is_distinct_from(Annotation.assignment_id), is_blind)
    replaces = or_(newer.author == Annotation.author, and_(newer.is_final, Annotation.is_final, counts(newer)))
    stands = or_(newer.state != AnnotationState.REJECTED, is_rejected_by_reviewer(newer))
    is_replaced = exists().where(
        newer.acquisition_id == Annotation.acquisition_id, newer.number > Annotation.number, replaces, stands, ~measures
    )
    return and_(is_rejected_by_reviewer(Annotation), ~is_replaced)


def is_in_place() -> Condition:
    """An :class:`Annotation` was not rejected or withdrawn, and no newer one takes its place.

    A second reading takes the place of second readings alone, and others of others.
    """
    newer = aliased(Annotation)
    is_replaced = exists().where(
        newer.acquisition_id == Annotation.acquisition_id,
        newer.number > Annotation.number,
        newer.is_final == Annotation.is_final,
        newer.state != AnnotationState.REJECTED,
    )
    return and_(Annotation.state != AnnotationState.REJECTED, ~is_replaced)


def is_being_annotated(moment: Moment) -> Condition:
    """Not annotated yet, and assigned to a reader or awaiting review."""
    return and_(~is_annotated(), or_(is_assigned(moment, second_reading=False), is_awaiting_review()))


def is_begun(moment: Moment, of: type[Acquisition] = Acquisition) -> Condition:
    """It is included, and annotated or being annotated; ``of`` as for :func:`is_assigned`."""
    in_work = is_assigned(moment, second_reading=False, of=of), is_awaiting_review(of)
    return and_(of.excluded_at.is_(None), or_(of.annotated_at.is_not(None), *in_work))


def is_waiting(moment: Moment) -> Condition:
    """It waits for a reader: usable, neither annotated nor being annotated.

    A case that was sent back waits for its author for a while, and then for everybody.
    """
    return and_(is_usable(), ~is_annotated(), ~is_assigned(moment, second_reading=False), ~is_awaiting_review())


def state(moment: Moment) -> ColumnElement[str]:
    """The text of the :class:`CaseState` of a case: one for each, where the conditions above may hold together."""
    return case(
        (~is_included(), CaseState.EXCLUDED.value),
        (is_assigned(moment), CaseState.ASSIGNED.value),
        (is_awaiting_review(), CaseState.AWAITING_REVIEW.value),
        (is_annotated(), CaseState.ANNOTATED.value),
        (is_usable(), CaseState.WAITING.value),
        else_=CaseState.NO_IMAGE.value,
    )


def has_state(wanted: CaseState, moment: Moment) -> list[Condition]:
    """The same as :func:`state` being one of its values, as conditions that a query can follow an index by."""
    if wanted is CaseState.EXCLUDED:
        return [~is_included()]
    if wanted is CaseState.ASSIGNED:
        return [Acquisition.id.in_(assigned_cases(moment)), is_included()]
    if wanted is CaseState.AWAITING_REVIEW:
        return [Acquisition.id.in_(cases_awaiting_review()), is_included(), ~is_assigned(moment)]
    rest = {
        CaseState.ANNOTATED: [is_annotated()],
        CaseState.WAITING: [~is_annotated(), Acquisition.primary_examination_id.is_not(None)],
        CaseState.NO_IMAGE: [~is_annotated(), Acquisition.primary_examination_id.is_(None)],
    }[wanted]
    return [is_included(), *rest, *nobody_has(moment)]


def nobody_has(moment: Moment) -> list[Condition]:
    """It is neither assigned nor awaiting review."""
    return [~is_assigned(moment), ~is_awaiting_review()]


def is_annotated_by_reader() -> Condition:
    """A reader, and not only an import, submitted an accepted annotation."""
    annotation = aliased(Annotation)
    return exists().where(
        annotation.acquisition_id == Acquisition.id,
        annotation.state == AnnotationState.ACCEPTED,
        or_(annotation.author != IMPORT_AUTHOR, annotation.client != IMPORT_AUTHOR),
    )


def is_in_snapshot() -> Condition:
    """It is in the snapshot of a round."""
    return exists().where(RoundCase.acquisition_id == Acquisition.id)


def may_start_round() -> Condition:
    """A reader annotated it, and it is in no snapshot yet: what :attr:`Acquisition.new_for_round` keeps."""
    return and_(~is_in_snapshot(), is_annotated_by_reader())


def is_new_for_round() -> Condition:
    """It counts towards the next round: a reader annotated it, and it is in no snapshot yet.

    A further annotation of the same case does not count again. Masks that came with an import are trained on
    too, but start no round.
    """
    return and_(is_included(), is_annotated(), Acquisition.new_for_round)
