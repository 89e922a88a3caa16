"""Comparisons of model versions."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.metrics.paired import INTERVAL, MIN_PARTICIPANTS, TEST, PairedDifference
from mrseg_label.registry.compare import Comparison
from mrseg_label.scoring import MEAN_OF_CASES


class DifferenceOut(BaseModel):
    """A difference between two versions, second minus first: mean over participants of each one's mean difference."""

    participants: int
    mean: float | None
    low: float | None = Field(description=f"lower end of the {INTERVAL}; null with fewer than two participants")
    high: float | None
    p: float | None = Field(description=TEST)
    clear: bool = Field(
        description=f"whether there are at least {MIN_PARTICIPANTS} participants and the interval does not include zero"
    )

    @classmethod
    def of(cls, found: PairedDifference) -> DifferenceOut:
        """Fill the document from a difference."""
        return cls(**asdict(found), clear=found.clear)


class ComparisonOut(BaseModel):
    """Two model versions compared on the held-out cases that both were evaluated on."""

    versions: tuple[str, str]
    cases: int = Field(description="number of these cases")
    rule: str = Field(MEAN_OF_CASES, description="how the means are taken")
    mean_dsc: tuple[float | None, float | None]
    difference: DifferenceOut = Field(description="of the mean DSC, paired by participant")
    draft_advantage: float = Field(
        description="DSC by which the labels favour the first version, because of the drafts that they were corrected from"
    )
    corrected: DifferenceOut = Field(description="the difference without that advantage")
    groups: dict[str, DifferenceOut] = Field(description="of the mean DSC by region of the label scheme")
    false_positive_ml: DifferenceOut = Field(description="of the volume of false positives in a case, ml")
    drafted_by_these: int = Field(
        description="cases among these whose label was corrected from a draft of one of the two, which favours it"
    )
    left_out_as_drafted: int = Field(description="cases that were left out because of that")
    interval: str = Field(INTERVAL, description="what the intervals are")
    test: str = Field(TEST, description="what the p values are of")
    structures: dict[str, tuple[float, float]] = Field(
        description="mean DSC of the two versions by structure, over the same cases"
    )
    structure_cases: dict[str, int] = Field(description="number of cases that the mean of a structure is over")
    false_positives: dict[str, tuple[int, int]] = Field(
        description="number of cases in which each version found a structure that is not there"
    )

    @classmethod
    def of(cls, found: Comparison) -> ComparisonOut:
        """Fill the document from a comparison."""
        first, second = found.scores
        stray = sorted({*first.false_positives, *second.false_positives})
        return cls(
            versions=found.versions,
            cases=found.cases,
            mean_dsc=(first.mean_dsc, second.mean_dsc),
            difference=DifferenceOut.of(found.difference),
            draft_advantage=found.draft_advantage,
            corrected=DifferenceOut.of(found.corrected),
            groups={group: DifferenceOut.of(one) for group, one in found.groups.items()},
            false_positive_ml=DifferenceOut.of(found.false_positive_ml),
            drafted_by_these=found.drafted_by_these,
            left_out_as_drafted=found.left_out_as_drafted,
            structures={name: (score.dsc, second.structures[name].dsc) for name, score in first.structures.items()},
            structure_cases={name: score.cases for name, score in first.structures.items()},
            false_positives={name: (_cases(first, name), _cases(second, name)) for name in stray},
        )


def _cases(score: HeldOutScore, name: str) -> int:
    return score.false_positives[name].cases if name in score.false_positives else 0
