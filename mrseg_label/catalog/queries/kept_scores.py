"""What was measured of model versions, kept in memory until it changes: a page that shows it need not read every annotation.

Whoever changes an annotation, an evaluation or a version writes that down in the same transaction
(:mod:`mrseg_label.catalog.changes`). Before anything kept is used, the changes since are read, and only the versions that they
are about are measured anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.database import WRITES
from mrseg_label.catalog.queries import events, held_out, performance
from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.queries.rounds import case_counts
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, Event, ModelVersion
from mrseg_label.catalog.types import CaseRole, Topic

_MOST_CHANGES = 2000  # that are looked at one by one
_IDS_PER_QUERY = 500  # databases limit the number of values in a query
Value = TypeVar("Value")


@dataclass
class _Kept:
    """What is known as of a change; ``seen`` is its number."""

    seen: int = -1
    efforts: dict[str, VersionSums] = field(default_factory=dict)
    scores: dict[str, HeldOutScore] = field(default_factory=dict)
    common: dict[str, HeldOutScore] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget_changed(self, session: Session) -> None:
        """Forget what changed since; everything, where that was too much or is not known any more."""
        newest = events.newest(session)
        if newest == self.seen:
            return
        is_known = self.seen >= 0 and events.oldest(session) <= self.seen + 1  # old changes are deleted
        found = events.after(session, self.seen, _MOST_CHANGES + 1) if is_known else []
        if not is_known or len(found) > _MOST_CHANGES:
            self.efforts, self.scores, self.common = {}, {}, None
        else:
            for version in _versions_of(session, found):
                self.efforts.pop(version, None)
            for version in _subjects(found, Topic.MODEL):
                self.efforts.pop(version, None)
                self.scores.pop(version, None)
                self.common = None
        # What was committed after that number was read is looked at again the next time.
        self.seen = newest


_KEPT: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()  # by engine


def sums_by_version(session: Session, versions: Sequence[ModelVersion]) -> dict[str, VersionSums]:
    """Measures of each of these versions: :func:`performance.sums_by_version`."""
    names = [row.version for row in versions]

    def read(kept: _Kept) -> dict[str, VersionSums]:
        efforts = _complete(kept.efforts, names, lambda missing: performance.effort_by_version(session, missing))
        scores = _complete(kept.scores, names, lambda missing: held_out.scores_of(session, missing))
        return {name: replace(efforts[name], held_out=scores[name]) for name in names}

    sums = _with_kept(session, read)
    training = case_counts(session, [row.round_number for row in versions if row.round_number is not None])
    for row in versions:
        if row.round_number is not None:
            sums[row.version].training_cases = training.get(row.round_number, {}).get(CaseRole.TRAINING, 0)
    return sums


def scores_of(session: Session, versions: Sequence[str]) -> dict[str, HeldOutScore]:
    """Score each of these versions on held-out cases: :func:`held_out.scores_of`."""
    return _with_kept(
        session,
        lambda kept: _complete(kept.scores, versions, lambda missing: held_out.scores_of(session, missing)),
    )


def common_scores(session: Session) -> dict[str, HeldOutScore]:
    """Score all versions on the held-out cases that they have in common: :func:`held_out.compared`."""

    def read(kept: _Kept) -> dict[str, HeldOutScore]:
        if kept.common is None:
            kept.common = held_out.compared(session).scores
        return dict(kept.common)

    return _with_kept(session, read)


def _with_kept(session: Session, read: Callable[[_Kept], Value]) -> Value:
    bind = session.get_bind()
    if bind.get_execution_options().get(WRITES):  # it may have changed what nobody else sees yet
        return read(_Kept())
    kept = _KEPT.setdefault(bind, _Kept())
    with kept.lock:
        kept.forget_changed(session)
        return read(kept)


def _complete(
    kept: dict[str, Value], names: Sequence[str], measure: Callable[[list[str]], dict[str, Value]]
) -> dict[str, Value]:
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= measure(missing)
    return {name: kept[name] for name in names}


def _subjects(found: Iterable[Event], topic: Topic) -> set[str]:
    return {event.subject for event in found if event.topic is topic}


def _versions_of(session: Session, found: Collection[Event]) -> set[str]:
    """The versions whose drafts began any annotation of a case that a changed annotation is of."""
    versions: set[str] = set()
    annotations = sorted(_subjects(found, Topic.ANNOTATION))
    for start in range(0, len(annotations), _IDS_PER_QUERY):
        changed, same_case = aliased(Annotation), aliased(Annotation)
        of_case = (
            select(same_case.id)
            .join(changed, changed.acquisition_id == same_case.acquisition_id)
            .where(changed.id.in_(annotations[start : start + _IDS_PER_QUERY]))
        )
        for query in (
            select(Annotation.model_version).where(Annotation.id.in_(of_case)),
            select(AnnotationStructure.drafted_by).where(AnnotationStructure.annotation_id.in_(of_case)),
        ):
            versions.update(version for version in session.scalars(query.distinct()) if version is not None)
    return versions
