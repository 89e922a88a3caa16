"""The ranking of the strategy ``uncertainty``: the waiting cases whose drafts are least sure, from what is stored with each draft.

Each structure and each kind of evidence ranks the cases by itself, and a case's score is the mean of its ranks. So
neither a large organ nor one that no model draws well decides alone, and a case of a station with difficult structures is
compared with others of that station.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from statistics import fmean
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.draft_details import DraftUncertainty
from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import Acquisition, Presegmentation

CASES_RANKED = 400  # reading and ranking them takes about a tenth of a second
_IDS_PER_QUERY = 500  # databases limit the number of values in a query
Evidence = tuple[str, str]  # kind and structure


def ranking(session: Session, moment: datetime, limit: int = CASES_RANKED) -> list[str]:
    """Rank the waiting acquisitions whose newest draft tells how sure it is, the least sure first.

    Parameters
    ----------
    limit : of acquisitions that are ranked, the first in the order that was drawn at import.
    """
    return rank(of_waiting(session, moment, limit))


def of_waiting(session: Session, moment: datetime, limit: int = CASES_RANKED) -> dict[str, DraftUncertainty]:
    """How sure the newest draft of each waiting acquisition is, by id; drafts that do not tell are left out."""
    waiting = select(Acquisition.id).where(concepts.is_waiting(moment), Acquisition.has_draft)
    ids = session.scalars(waiting.order_by(Acquisition.shuffle, Acquisition.id).limit(limit)).all()
    newest: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), _IDS_PER_QUERY):
        some = Presegmentation.acquisition_id.in_(ids[start : start + _IDS_PER_QUERY])
        # Of several of a case the newest comes last; of equally old ones that with the smaller id.
        query = select(Presegmentation.acquisition_id, Presegmentation.details).where(some)
        ordered = query.order_by(Presegmentation.created_at, Presegmentation.id.desc())
        for identifier, details in session.execute(ordered):
            newest[identifier] = details
    found = ((identifier, (newest[identifier] or {}).get("uncertainty")) for identifier in ids)
    return {identifier: uncertainty for identifier, uncertainty in found if uncertainty}


def of_case(session: Session, acquisition_id: str) -> DraftUncertainty | None:
    """How sure the newest draft of an acquisition is; None where it does not tell."""
    query = select(Presegmentation.details).where(Presegmentation.acquisition_id == acquisition_id)
    newest = query.order_by(Presegmentation.created_at.desc(), Presegmentation.id).limit(1)
    details = session.scalars(newest).one_or_none() or {}
    found: DraftUncertainty | None = details.get("uncertainty")
    return found


def rank(cases: Mapping[str, DraftUncertainty]) -> list[str]:
    """Rank cases by their scores, the least sure first; equal ones stay in the order of ``cases``."""
    by_evidence: dict[Evidence, list[float]] = {}
    for uncertainty in cases.values():
        for evidence, value in _values(uncertainty):
            by_evidence.setdefault(evidence, []).append(value)
    for values in by_evidence.values():
        values.sort()

    def score(uncertainty: DraftUncertainty) -> float:
        by_structure: dict[str, list[float]] = {}
        for (kind, structure), value in _values(uncertainty):
            values = by_evidence[kind, structure]
            middle = (bisect_left(values, value) + bisect_right(values, value)) / 2
            by_structure.setdefault(structure, []).append(middle / len(values))
        return fmean(fmean(ranks) for ranks in by_structure.values()) if by_structure else 0.0

    scores = {identifier: score(uncertainty) for identifier, uncertainty in cases.items()}
    return sorted(cases, key=lambda identifier: -scores[identifier])


def _values(uncertainty: DraftUncertainty) -> Iterator[tuple[Evidence, float]]:
    for kind, values in (
        ("disagreement", uncertainty.get("disagreement", {})),
        ("softmax", uncertainty.get("softmax", {})),
    ):
        for structure, value in values.items():
            yield (kind, structure), value
