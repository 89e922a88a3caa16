"""What is shown of a model version's score on held-out cases, wherever it is shown."""

from __future__ import annotations

from typing import Any

from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.scoring import MEAN_OF_CASES


def held_out_metrics(score: HeldOutScore) -> dict[str, Any]:
    """Return the ``metrics`` of a model version: means with the numbers of cases that they are over, and their rule."""
    return {
        "mean_dsc": score.mean_dsc,
        "held_out_cases": score.cases,
        "held_out_examinations": score.examinations,
        "rule": MEAN_OF_CASES,
        "dsc": {name: found.dsc for name, found in score.structures.items()},
        "cases": {name: found.cases for name, found in score.structures.items()},
        "false_positives": {
            name: {"cases": found.cases, "ml": found.ml} for name, found in score.false_positives.items()
        },
        "remnants": score.remnants,
    }
