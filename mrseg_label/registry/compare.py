"""Compare two model versions on the held-out cases that both were evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import held_out
from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.registry.service import get


@dataclass(frozen=True)
class Comparison:
    """Scores of two versions over the same held-out cases, and over the same structures in each.

    Attributes
    ----------
    cases : number of held-out annotations that both were evaluated on and that have a structure that counts.
    """

    versions: tuple[str, str]
    cases: int
    scores: tuple[HeldOutScore, HeldOutScore]


def compare(session: Session, first: str, second: str) -> Comparison:
    """Compare two model versions.

    Raises
    ------
    NotFound
        One of the versions does not exist.
    """
    versions = (get(session, first).version, get(session, second).version)
    found = held_out.compared(session, versions)
    return Comparison(versions, found.cases, (found.scores[versions[0]], found.scores[versions[1]]))
