"""How good model versions are on held-out cases: the one place where evaluations become a mean.

Every mean is taken by the rule of :mod:`mrseg_label.scoring` and has the number of cases that it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Evaluation


@dataclass(frozen=True)
class StructureScore:
    """Mean DSC of a structure over the cases in which it counts."""

    cases: int
    dsc: float


@dataclass(frozen=True)
class FalsePositives:
    """Voxels of a structure that is not in the reference.

    Attributes
    ----------
    cases : number of cases with such voxels.
    ml : their volume in all these cases together; None where an earlier version did not keep it.
    """

    cases: int
    ml: float | None


@dataclass(frozen=True)
class HeldOutScore:
    """The score of a version over some held-out cases.

    Attributes
    ----------
    cases : number of cases with a structure that counts.
    mean_dsc : mean over these cases of each case's mean over its structures; None if there are none.
    structures, false_positives : by name, where there are any.
    remnants : by name, the number of cases in which the reference has too little of a structure to count.
    """

    cases: int = 0
    mean_dsc: float | None = None
    structures: dict[str, StructureScore] = field(default_factory=dict)
    false_positives: dict[str, FalsePositives] = field(default_factory=dict)
    remnants: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """Scores of several versions over the same cases and the same structures in each."""

    cases: int
    scores: dict[str, HeldOutScore]


def scores_of(session: Session, versions: Collection[str]) -> dict[str, HeldOutScore]:
    """Score each of these versions over all held-out cases that it was evaluated on."""
    found = _evaluations(session, versions)
    return {version: summarise(found.get(version, {}).values()) for version in versions}


def compared(session: Session, versions: Sequence[str] | None = None) -> Compared:
    """Score versions over the held-out cases that all of them were evaluated on.

    Parameters
    ----------
    versions : by default all that were evaluated.
    """
    found = _evaluations(session, versions)
    return over_same_cases({version: found.get(version, {}).values() for version in versions or found})


def over_same_cases(evaluations: Mapping[str, Iterable[Evaluation]]) -> Compared:
    """Score versions, each with its evaluations, over the cases and the structures that all of them have."""
    rows = {version: {row.annotation_id: row for row in found} for version, found in evaluations.items()}
    common = set.intersection(*(set(found) for found in rows.values())) if rows else set()
    counted = {key: _shared([found[key] for found in rows.values()]) for key in sorted(common)}
    scores = {version: summarise((found[key] for key in counted), counted) for version, found in rows.items()}
    return Compared(sum(bool(names) for names in counted.values()), scores)


def summarise(evaluations: Iterable[Evaluation], counted: Mapping[str, Collection[str]] | None = None) -> HeldOutScore:
    """Summarise the evaluations of one version.

    Parameters
    ----------
    counted : by annotation, the structures that count; by default all that have a value.
    """
    case_means: list[float] = []
    values: dict[str, list[float]] = {}
    stray: dict[str, list[float | None]] = {}
    remnants: dict[str, int] = {}
    for row in evaluations:
        names = row.dsc if counted is None else counted[row.annotation_id]
        case = {name: row.dsc[name] for name in names if row.dsc.get(name) is not None}
        if case:
            case_means.append(sum(case.values()) / len(case))
        for name, value in case.items():
            values.setdefault(name, []).append(value)
        for name, volume in row.apart.get("false_positive_ml", {}).items():
            stray.setdefault(name, []).append(volume)
        for name in row.apart.get("remnant_dsc", {}):
            remnants[name] = remnants.get(name, 0) + 1
    return HeldOutScore(
        cases=len(case_means),
        mean_dsc=_mean(case_means) if case_means else None,
        structures={name: StructureScore(len(found), _mean(found)) for name, found in sorted(values.items())},
        false_positives={name: FalsePositives(len(found), _sum(found)) for name, found in sorted(stray.items())},
        remnants=dict(sorted(remnants.items())),
    )


def _evaluations(session: Session, versions: Collection[str] | None) -> dict[str, dict[str, Evaluation]]:
    """Evaluations by version and annotation."""
    query = select(Evaluation).order_by(Evaluation.model_version, Evaluation.annotation_id)
    if versions is not None:
        query = query.where(Evaluation.model_version.in_(versions))
    found: dict[str, dict[str, Evaluation]] = {}
    for row in session.scalars(query):
        found.setdefault(row.model_version, {})[row.annotation_id] = row
    return found


def _shared(rows: Sequence[Evaluation]) -> set[str]:
    """Names of the structures that count in every one of these evaluations of a case."""
    names = [{name for name, value in row.dsc.items() if value is not None} for row in rows]
    return names[0].intersection(*names[1:])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sum(volumes: Sequence[float | None]) -> float | None:
    known = [volume for volume in volumes if volume is not None]
    return sum(known) if len(known) == len(volumes) else None
