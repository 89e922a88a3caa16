"""Compare two model versions on the held-out cases that both were evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import Evaluation
from mrseg_label.registry.service import get


@dataclass(frozen=True)
class Comparison:
    """Mean DSC of two versions over the same held-out cases.

    Attributes
    ----------
    cases : number of held-out annotations that both were evaluated on.
    mean_dsc : of each version over these cases; None if there are none.
    structures : by name, the mean DSC of each version over the cases in which both have a value for the structure.
    """

    versions: tuple[str, str]
    cases: int
    mean_dsc: tuple[float | None, float | None]
    structures: dict[str, tuple[float, float]]


def compare(session: Session, first: str, second: str) -> Comparison:
    """Compare two model versions.

    Raises
    ------
    NotFound
        One of the versions does not exist.
    """
    rows = [
        {row.annotation_id: row for row in models.evaluations(session, get(session, v).version)}
        for v in (first, second)
    ]
    common = sorted(rows[0].keys() & rows[1].keys())
    ours, theirs = ([side[key] for key in common] for side in rows)
    names = {name for row in (*ours, *theirs) for name in row.dsc}
    structures: dict[str, tuple[float, float]] = {}
    for name in sorted(names):
        pairs = [
            (a.dsc[name], b.dsc[name]) for a, b in zip(ours, theirs, strict=True) if _has(a, name) and _has(b, name)
        ]
        if pairs:
            structures[name] = (sum(p[0] for p in pairs) / len(pairs), sum(p[1] for p in pairs) / len(pairs))
    return Comparison((first, second), len(common), (_mean(ours), _mean(theirs)), structures)


def _has(row: Evaluation, name: str) -> bool:
    return row.dsc.get(name) is not None


def _mean(rows: Sequence[Evaluation]) -> float | None:
    values = [row.mean_dsc for row in rows if row.mean_dsc is not None]
    return sum(values) / len(values) if values else None
