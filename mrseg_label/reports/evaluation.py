"""Make the document of an evaluation from its table."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mrseg_label.evaluation.descriptions import quality, quality_of_structure
from mrseg_label.evaluation.folders import Evaluated
from mrseg_label.evaluation.measurements import counted, references_of
from mrseg_label.evaluation.values import RULE
from mrseg_label.reports.documents.evaluation import (
    EvaluatedCaseOut,
    EvaluatedStructureOut,
    EvaluationOut,
    MeasuredStructureOut,
    RefusedCaseOut,
)

_OF_CASE = ("model", "case", "participant", "data_set", "sequence", "station", "sex")
_OF_STRUCTURE = ("dsc", "hd95_mm", "nsd", "reference_ml", "prediction_ml")


def describe(evaluated: Evaluated) -> EvaluationOut:
    """Describe an evaluation: the cases in their order, the structures in that of the scheme."""
    table = evaluated.table
    groups = table.groupby(["model", "case"], sort=False)
    names = [str(name) for name in table["structure"].unique()]
    references = references_of(table)
    return EvaluationOut(
        cases=[_case(part) for _, part in groups],
        propagated=references.propagated,
        references=references.masks,
        structures={name: _structure(table[table["structure"] == name]) for name in names},
        mean_dsc=finite(quality(table)["dsc_samples_mean"]),
        refused=[RefusedCaseOut(source=one.source, reason=one.reason) for one in evaluated.refused],
        notes=list(evaluated.notes),
        rule=RULE,
    )


def finite(value: Any) -> float | None:
    """Return a number for JSON: None for NaN and infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def _case(part: pd.DataFrame) -> EvaluatedCaseOut:
    first = part.iloc[0]
    return EvaluatedCaseOut(
        **{name: str(first[name]) for name in _OF_CASE},
        age=finite(first["age"]),
        propagated_from=str(first["propagated_from"]) or None,
        mean_dsc=finite(counted(part)["dsc"].mean()),
        structures={
            str(row["structure"]): MeasuredStructureOut(
                found=row["found"], **{name: finite(row[name]) for name in _OF_STRUCTURE}
            )
            for row in part.to_dict("records")
        },
    )


def _structure(part: pd.DataFrame) -> EvaluatedStructureOut:
    found = quality_of_structure(part)
    return EvaluatedStructureOut(
        dsc=finite(found["dsc_mean"]),
        dsc_sd=finite(found["dsc_sd"]),
        hd95_mm=finite(found["hd95_mm_mean"]),
        hd95_sd_mm=finite(found["hd95_mm_sd"]),
        hd95_infinite=int(found["infinite"]),
        nsd=finite(found["nsd_mean"]),
        nsd_sd=finite(found["nsd_sd"]),
        n=int(found["n"]),
        propagated=int(found["propagated"]),
    )
