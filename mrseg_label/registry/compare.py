"""Compare two model versions on the held-out cases that both were evaluated on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import held_out
from mrseg_label.catalog.queries.held_out import CaseOrigin, CaseScores, Compared, HeldOutScore
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.paired import MIN_PARTICIPANTS, PairedDifference, means_by, paired_difference
from mrseg_label.registry.draft_advantage import DraftAdvantage, lineage_of
from mrseg_label.registry.service import get

OTHER_STRUCTURES = "other"  # group of the structures that have no region in the label scheme
Pair = tuple[CaseScores, CaseScores]


@dataclass(frozen=True)
class Comparison:
    """Two versions over the same held-out cases, and over the same channels and structures in each.

    A label that was corrected from a draft of one of the two favours that version: readers leave what they do not see.
    Such cases are left out where enough others remain. What still favours one of the two is stated, and corrected for.

    Attributes
    ----------
    versions : the first is the one that the second is compared with.
    cases : number of cases that are compared and have a structure that counts.
    scores : of each version over these cases.
    difference : of the mean DSC, second minus first, paired by participant.
    groups : the same by region of the label scheme.
    false_positive_ml : difference of the volume of false positives in a case, millilitres.
    drafted_by_these : number of compared cases whose label was corrected from a draft of one of the two.
    left_out_as_drafted : number of cases that were left out because of that.
    draft_advantage : DSC by which the labels favour the first version because of the drafts that they were corrected from.
    corrected : the difference without that.
    """

    versions: tuple[str, str]
    cases: int
    scores: tuple[HeldOutScore, HeldOutScore]
    difference: PairedDifference
    groups: Mapping[str, PairedDifference]
    false_positive_ml: PairedDifference
    corrected: PairedDifference
    draft_advantage: float = 0.0
    drafted_by_these: int = 0
    left_out_as_drafted: int = 0


def compare(session: Session, scheme: LabelScheme, first: str, second: str, *, own_drafts: float = 0.0) -> Comparison:
    """Compare two model versions.

    Parameters
    ----------
    own_drafts : advantage in DSC of a version on labels that were corrected from its own drafts.

    Raises
    ------
    NotFound
        One of the versions does not exist.
    """
    versions = (get(session, first).version, get(session, second).version)
    found = held_out.compared(session, versions)
    advantage = DraftAdvantage(own_drafts, {version: lineage_of(session, version) for version in versions})
    return compare_over(found, versions, held_out.origins(session, found.by_case[versions[0]]), scheme, advantage)


def compare_over(
    found: Compared,
    versions: tuple[str, str],
    origins: Mapping[str, CaseOrigin],
    scheme: LabelScheme,
    draft_advantage: DraftAdvantage | None = None,
) -> Comparison:
    """Compare two versions over the cases that both have.

    Parameters
    ----------
    origins : by annotation.
    draft_advantage : of the two versions; by default there is none.
    """
    first, second = (found.by_case[version] for version in versions)
    pairs = {key: (case, second[key]) for key, case in first.items() if case.dsc or case.false_positive_ml}
    drafted = {key for key in pairs if origins[key].drafted_by in versions}
    left_out = drafted if _enough_without(drafted, pairs, origins) else set()
    pairs = {key: pair for key, pair in pairs.items() if key not in left_out}
    regions = {structure.name: structure.region or OTHER_STRUCTURES for structure in scheme}
    groups = sorted({regions.get(name, OTHER_STRUCTURES) for pair in pairs.values() for name in pair[0].dsc})
    people = {key: origins[key].participant for key in pairs}
    advantages = _advantages(pairs, versions, origins, draft_advantage or DraftAdvantage())
    difference = paired_difference(_differences(pairs, people))
    favoured = means_by((people[key], value) for key, value in advantages.items()).values()
    return Comparison(
        versions=versions,
        cases=sum(bool(pair[0].dsc) for pair in pairs.values()),
        scores=(
            held_out.summary_of(pair[0] for pair in pairs.values()),
            held_out.summary_of(pair[1] for pair in pairs.values()),
        ),
        difference=difference,
        groups={
            group: paired_difference(
                _differences(pairs, people, {name for name, region in regions.items() if region == group})
            )
            for group in groups
        },
        false_positive_ml=paired_difference(_stray_differences(pairs, people)),
        corrected=(
            paired_difference(_differences(pairs, people, corrections=advantages)) if any(favoured) else difference
        ),
        draft_advantage=sum(favoured) / len(favoured) if favoured else 0.0,
        drafted_by_these=len(drafted - left_out),
        left_out_as_drafted=len(left_out),
    )


def _enough_without(drafted: set[str], pairs: Mapping[str, Pair], origins: Mapping[str, CaseOrigin]) -> bool:
    """Whether so many participants, or half of them, remain without these cases."""
    everybody = {origins[key].participant for key in pairs}
    remaining = {origins[key].participant for key in pairs if key not in drafted}
    return len(remaining) >= MIN_PARTICIPANTS or 0 < len(everybody) <= 2 * len(remaining)


def _advantages(
    pairs: Mapping[str, Pair],
    versions: tuple[str, str],
    origins: Mapping[str, CaseOrigin],
    advantage: DraftAdvantage,
) -> dict[str, float]:
    """By how much the label of each case that has a DSC favours the first version over the second."""
    drafters = {key: origins[key].drafted_by for key, (first, _) in pairs.items() if first.dsc}
    first, second = versions
    return {key: advantage.of(first, drafter) - advantage.of(second, drafter) for key, drafter in drafters.items()}


def _differences(
    pairs: Mapping[str, Pair],
    people: Mapping[str, str],
    of: set[str] | None = None,
    corrections: Mapping[str, float] | None = None,
) -> Iterable[tuple[str, float]]:
    """Difference of the mean DSC of each case, over all structures or some of them, with its participant.

    Parameters
    ----------
    corrections : added to the difference of each case.
    """
    for key, (first, second) in pairs.items():
        names = [name for name in first.dsc if of is None or name in of]
        if names:
            added = 0.0 if corrections is None else corrections[key]
            yield people[key], added + sum(second.dsc[name] - first.dsc[name] for name in names) / len(names)


def _stray_differences(pairs: Mapping[str, Pair], people: Mapping[str, str]) -> Iterable[tuple[str, float]]:
    """Difference of the volume of false positives of each case whose volumes are known, with its participant."""
    for key, (first, second) in pairs.items():
        volumes = [list(case.false_positive_ml.values()) for case in (first, second)]
        if not any(volume is None for values in volumes for volume in values):
            before, after = (sum(volume or 0.0 for volume in values) for values in volumes)
            yield people[key], after - before
