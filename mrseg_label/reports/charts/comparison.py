"""A comparison of two versions as rows of a table, each with its picture, and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.metrics.paired import MIN_PARTICIPANTS
from mrseg_label.reports.charts.axes import nice_ticks
from mrseg_label.reports.charts.layout import Interval, interval
from mrseg_label.reports.documents.comparison import ComparisonOut, DifferenceOut


@dataclass(frozen=True)
class GroupRow:
    """A region of the label scheme, or all of them."""

    name: str
    difference: DifferenceOut
    picture: Interval | None


@dataclass(frozen=True)
class StructureRow:
    """A structure: mean DSC of both versions over the same cases."""

    name: str
    cases: int
    first: float
    second: float
    picture: Interval | None

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


@dataclass(frozen=True)
class ComparisonRows:
    """All rows. ``limit`` and ``structure_limit`` are the ends of the axes of their pictures, in DSC."""

    verdict: str
    groups: list[GroupRow]
    limit: float
    structures: list[StructureRow]
    structure_limit: float


def comparison_rows(found: ComparisonOut) -> ComparisonRows:
    """Lay out a comparison; the structures that lost most come first."""
    corrected = [("all structures, corrected", found.corrected)] if found.draft_advantage else []
    named = [("all structures", found.difference), *corrected, *sorted(found.groups.items())]
    limit = _limit([value for _, one in named for value in (one.mean, one.low, one.high) if value is not None])
    groups = [GroupRow(name, one, interval(one.mean, one.low, one.high, limit)) for name, one in named]
    structure_limit = _limit([second - first for first, second in found.structures.values()])
    structures = [
        StructureRow(
            name, found.structure_cases[name], first, second, interval(second - first, None, None, structure_limit)
        )
        for name, (first, second) in found.structures.items()
    ]
    ordered = sorted(structures, key=lambda row: (row.difference, row.name))
    return ComparisonRows(verdict(found), groups, limit, ordered, structure_limit)


def verdict(found: ComparisonOut) -> str:
    """State in a sentence what a comparison shows, and whether it is more than noise.

    As promotion does, it goes by the difference without the advantage that drafts give to one of the two.
    """
    first, second = found.versions
    difference = found.corrected
    if first == second:
        return "This compares a version with itself."
    if difference.mean is None:
        return "No held-out case was evaluated with both versions, so they cannot be compared."
    if difference.participants < MIN_PARTICIPANTS:
        people = "participant" if difference.participants == 1 else "participants"
        return (
            f"Too few to tell: {difference.participants} held-out {people} were evaluated with both versions, and at least "
            f"{MIN_PARTICIPANTS} are needed to tell a difference from noise."
        )
    if not difference.clear:
        return f"No clear difference: noise could be the reason why {second} and {first} differ."
    return f"{second} is clearly {'better' if difference.mean > 0 else 'worse'} than {first}."


def _limit(values: list[float]) -> float:
    """A round number that no value exceeds, on either side."""
    return nice_ticks(0.0, max([abs(value) for value in values] or [0.0], default=0.0) or 0.01, 3)[-1]
