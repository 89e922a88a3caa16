"""By how much labels favour the model whose draft they were corrected from, and the models that were trained from it.

Readers leave what they do not see, so that a corrected draft keeps some of its mistakes. The model that made it, and those
that started from its weights, make the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import BOOTSTRAP

# docs/benchmarks.md: the advantage was 0.055 DSC for the model that made the draft, 0.014 for models that were trained from
# it, and 0.004 for those that were trained from these in turn.
SHARE_PER_ROUND = 0.25


@dataclass(frozen=True)
class DraftAdvantage:
    """How much higher a version scores on a label than it would on one that favours nobody.

    Attributes
    ----------
    own : DSC, on labels that were corrected from its own drafts; with each round since, it is a fourth of that.
    lineages : by version, itself and the versions that its training started from, nearest first.
    """

    own: float = 0.0
    lineages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, version: str, drafted_by: str | None) -> float:
        """Return the advantage of a version on a label that was corrected from a draft, in DSC."""
        lineage = self.lineages.get(version, (version,))
        if drafted_by is None or drafted_by not in lineage:
            return 0.0
        return self.own * SHARE_PER_ROUND ** lineage.index(drafted_by)


def lineage_of(session: Session, version: str | None) -> tuple[str, ...]:
    """List a version and those that its training started from, nearest first.

    TotalSegmentator is in no lineage but its own: a first round starts from the weights of a network for CT, and learns
    another contrast.
    """
    found: list[str] = []
    while version is not None and version not in found and (not found or version != BOOTSTRAP):
        found.append(version)
        row = models.get(session, version)
        version = None if row is None else row.parent
    return tuple(found)
