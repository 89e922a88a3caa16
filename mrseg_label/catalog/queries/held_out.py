"""How good model versions are on held-out cases: the one place where evaluations become a mean.

Every mean is taken by the rule of :mod:`mrseg_label.scoring` and has the number of cases that it is over. The channels of
a case share its annotation, so they count as one: what is said of a case is the mean over its channels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Annotation, Evaluation

Channel = tuple[str, str]  # annotation and examination
_IDS_PER_QUERY = 500  # databases limit the number of values in a query


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
    examinations : number of channels of these cases that were evaluated.
    mean_dsc : mean over these cases of each case's mean over its structures; None if there are none.
    structures, false_positives : by name, where there are any.
    remnants : by name, the number of cases in which the reference has too little of a structure to count.
    """

    cases: int = 0
    examinations: int = 0
    mean_dsc: float | None = None
    structures: dict[str, StructureScore] = field(default_factory=dict)
    false_positives: dict[str, FalsePositives] = field(default_factory=dict)
    remnants: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseScores:
    """What one version scored on a case, as the mean over its channels.

    Attributes
    ----------
    examinations : number of channels.
    dsc : by structure, of those that count.
    false_positive_ml : by structure that the reference does not have; None where the volume was not kept.
    remnants : structures of which the reference has too little.
    """

    examinations: int
    dsc: dict[str, float]
    false_positive_ml: dict[str, float | None]
    remnants: frozenset[str]

    @property
    def mean_dsc(self) -> float | None:
        """Mean over the structures that count."""
        return _mean(list(self.dsc.values())) if self.dsc else None


@dataclass(frozen=True)
class Compared:
    """Several versions over the same cases, in each the same channels and the same structures.

    Attributes
    ----------
    cases : number of these cases that have a structure that counts.
    by_case : what each version scored on each case, by version and annotation.
    """

    cases: int
    by_case: dict[str, dict[str, CaseScores]]

    @property
    def scores(self) -> dict[str, HeldOutScore]:
        """The score of each version."""
        return {version: summary_of(found.values()) for version, found in self.by_case.items()}


@dataclass(frozen=True)
class CaseOrigin:
    """Whose case it is, and which version made the draft that its annotation was corrected from, if any did."""

    participant: str
    drafted_by: str | None


def scores_of(session: Session, versions: Collection[str]) -> dict[str, HeldOutScore]:
    """Score each of these versions over all held-out cases that it was evaluated on."""
    found = _evaluations(session, versions)
    return {version: summarise(found.get(version, [])) for version in versions}


def compared(session: Session, versions: Sequence[str] | None = None) -> Compared:
    """Score versions over the held-out cases that all of them were evaluated on.

    Parameters
    ----------
    versions : by default all that were evaluated.
    """
    found = _evaluations(session, versions)
    return over_same_cases({version: found.get(version, []) for version in versions or found})


def over_same_cases(evaluations: Mapping[str, Iterable[Evaluation]]) -> Compared:
    """Score versions, each with its evaluations, over the cases, channels and structures that all of them have."""
    rows = {version: {_channel(row): row for row in found} for version, found in evaluations.items()}
    common = sorted(set.intersection(*(set(found) for found in rows.values()))) if rows else []
    counted = {key: _shared([found[key] for found in rows.values()]) for key in common}
    by_case = {version: _by_case((found[key] for key in common), counted) for version, found in rows.items()}
    cases = next(iter(by_case.values()), {})
    return Compared(sum(bool(case.dsc) for case in cases.values()), by_case)


def summarise(evaluations: Iterable[Evaluation]) -> HeldOutScore:
    """Summarise the evaluations of one version over all structures that have a value."""
    return summary_of(_by_case(evaluations, None).values())


def origins(session: Session, annotations: Collection[str]) -> dict[str, CaseOrigin]:
    """Whose cases these annotations are of and who drafted them, by annotation."""
    found: dict[str, CaseOrigin] = {}
    wanted = sorted(annotations)
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        query = (
            select(Annotation.id, Acquisition.participant_id, Annotation.model_version)
            .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
            .where(Annotation.id.in_(wanted[start : start + _IDS_PER_QUERY]))
        )
        found |= {one: CaseOrigin(participant, drafter) for one, participant, drafter in session.execute(query)}
    return found


def _by_case(
    evaluations: Iterable[Evaluation], counted: Mapping[Channel, Collection[str]] | None
) -> dict[str, CaseScores]:
    """Take the mean over the channels of each case.

    Parameters
    ----------
    counted : by channel, the structures that count; by default all that have a value.
    """
    channels: dict[str, list[Evaluation]] = {}
    for row in evaluations:
        channels.setdefault(row.annotation_id, []).append(row)
    return {annotation: _case(rows, counted) for annotation, rows in channels.items()}


def _case(rows: Sequence[Evaluation], counted: Mapping[Channel, Collection[str]] | None) -> CaseScores:
    dsc: dict[str, list[float]] = {}
    stray: dict[str, list[float | None]] = {}
    for row in rows:
        values = row.dsc
        for name in values if counted is None else counted[_channel(row)]:
            if (value := values.get(name)) is not None:
                dsc.setdefault(name, []).append(value)
        for name, volume in row.apart.get("false_positive_ml", {}).items():
            stray.setdefault(name, []).append(volume)
    totals = {name: _sum(volumes) for name, volumes in stray.items()}
    return CaseScores(
        examinations=len(rows),
        dsc={name: _mean(values) for name, values in dsc.items()},
        false_positive_ml={name: None if total is None else total / len(rows) for name, total in totals.items()},
        remnants=frozenset(name for row in rows for name in row.apart.get("remnant_dsc", {})),
    )


def summary_of(cases: Iterable[CaseScores]) -> HeldOutScore:
    """Summarise what one version scored on some cases."""
    means: list[float] = []
    examinations = 0
    values: dict[str, list[float]] = {}
    stray: dict[str, list[float | None]] = {}
    remnants: dict[str, int] = {}
    for case in cases:
        if (mean_dsc := case.mean_dsc) is not None:
            means.append(mean_dsc)
            examinations += case.examinations
        for name, value in case.dsc.items():
            values.setdefault(name, []).append(value)
        for name, volume in case.false_positive_ml.items():
            stray.setdefault(name, []).append(volume)
        for name in case.remnants:
            remnants[name] = remnants.get(name, 0) + 1
    return HeldOutScore(
        cases=len(means),
        examinations=examinations,
        mean_dsc=_mean(means) if means else None,
        structures={name: StructureScore(len(found), _mean(found)) for name, found in sorted(values.items())},
        false_positives={name: FalsePositives(len(found), _sum(found)) for name, found in sorted(stray.items())},
        remnants=dict(sorted(remnants.items())),
    )


def _evaluations(session: Session, versions: Collection[str] | None) -> dict[str, list[Evaluation]]:
    """Evaluations by version."""
    query = select(Evaluation).order_by(Evaluation.model_version, Evaluation.annotation_id, Evaluation.examination_id)
    if versions is not None:
        query = query.where(Evaluation.model_version.in_(versions))
    found: dict[str, list[Evaluation]] = {}
    for row in session.scalars(query):
        found.setdefault(row.model_version, []).append(row)
    return found


def _channel(row: Evaluation) -> Channel:
    return row.annotation_id, row.examination_id


def _shared(rows: Sequence[Evaluation]) -> set[str]:
    """Names of the structures that count in every one of these evaluations of a channel."""
    names = [{name for name, value in row.dsc.items() if value is not None} for row in rows]
    return names[0].intersection(*names[1:])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sum(volumes: Sequence[float | None]) -> float | None:
    known = [volume for volume in volumes if volume is not None]
    return sum(known) if len(known) == len(volumes) else None
