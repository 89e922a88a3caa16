"""Decide whether a new model makes the drafts from now on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mrseg_label.metrics.paired import INTERVAL, MIN_PARTICIPANTS, TEST, PairedDifference
from mrseg_label.registry.compare import Comparison

Rule = Literal["better", "clear", "manual"]
FALSE_POSITIVE_MARGIN_ML = 20.0  # in a case; the mean of a kidney is about 150 ml


@dataclass(frozen=True)
class Decision:
    """Whether a model is promoted.

    Attributes
    ----------
    uncertain : the held-out cases cannot tell which of the two models is better.
    """

    promoted: bool
    uncertain: bool
    reason: str


def decide(comparison: Comparison, rule: Rule, margin: float) -> Decision:
    """Decide on the second of two compared versions, by the difference without the advantage that labels give to one of them.

    Parameters
    ----------
    rule : ``better`` promotes where the mean improves, ``clear`` only where the interval lies above zero and there are
        enough participants, ``manual`` never.
    margin : DSC by which no group of structures may be worse.
    """
    difference = comparison.corrected
    if difference.mean is None:
        return Decision(False, True, "no structure of a held-out case can be compared, so the model was not promoted")
    uncertain = not difference.clear
    text = _describe(comparison)
    obstacles = _obstacles(comparison, margin)
    if difference.mean <= 0:
        return Decision(False, uncertain, f"not better: {text}")
    if obstacles:
        return Decision(False, uncertain, f"not promoted, {'; '.join(obstacles)}: {text}")
    if rule == "manual":
        return Decision(False, uncertain, f"better, and not promoted since PROMOTION is manual: {text}")
    if rule == "clear" and not difference.better:
        return Decision(False, True, f"not clearly better, as PROMOTION asks for: {text}")
    return Decision(True, uncertain, f"better{', but uncertain' if uncertain else ''}: {text}")


def as_document(comparison: Comparison, decision: Decision, margin: float) -> dict[str, Any]:
    """Return what is stored of a decision, with the round and with its model."""
    return {
        "compared_with": comparison.versions[0],
        "uncertain": decision.uncertain,
        "cases": comparison.cases,
        "examinations": comparison.scores[1].examinations,
        "difference": asdict(comparison.difference),
        "draft_advantage": comparison.draft_advantage,
        "corrected": asdict(comparison.corrected),
        "groups": {group: asdict(found) for group, found in comparison.groups.items()},
        "margin": margin,
        "false_positive_ml": asdict(comparison.false_positive_ml),
        "drafted_by_these": comparison.drafted_by_these,
        "left_out_as_drafted": comparison.left_out_as_drafted,
        "interval": INTERVAL,
        "test": TEST,
    }


def _obstacles(comparison: Comparison, margin: float) -> list[str]:
    """What speaks against a model that is better on the whole."""
    worse = {
        group: found.mean + comparison.draft_advantage
        for group, found in comparison.groups.items()
        if found.mean is not None
    }
    found = [
        f"structures of the group {group!r} are worse by {-mean:.3f} (margin {margin:.3f})"
        for group, mean in worse.items()
        if mean < -margin
    ]
    more = comparison.false_positive_ml.mean
    if more is not None and more > FALSE_POSITIVE_MARGIN_ML:
        found.append(f"{more:.1f} ml more false positives in a case (margin {FALSE_POSITIVE_MARGIN_ML:.0f} ml)")
    return found


def _describe(comparison: Comparison) -> str:
    theirs, ours = comparison.scores
    found = comparison.difference
    parts = [
        f"mean DSC {ours.mean_dsc:.3f} against {theirs.mean_dsc:.3f} of {comparison.versions[0]} on {comparison.cases} "
        f"held-out cases; {describe_difference(found)}"
    ]
    if comparison.draft_advantage:
        favoured = comparison.versions[0] if comparison.draft_advantage > 0 else comparison.versions[1]
        parts.append(
            f"the labels began as drafts, which favours {favoured} by about {abs(comparison.draft_advantage):.3f}; without "
            f"that: {describe_difference(comparison.corrected)}"
        )
    if comparison.false_positive_ml.mean is not None:
        parts.append(f"false positives {comparison.false_positive_ml.mean:+.1f} ml in a case")
    if comparison.drafted_by_these:
        parts.append(
            f"{comparison.drafted_by_these} of the labels were corrected from drafts by one of the two, which favours it"
        )
    return "; ".join(parts)


def describe_difference(found: PairedDifference) -> str:
    """Describe a difference with its interval, test and number of participants."""
    if found.mean is None:
        return "nothing to compare"
    text = f"difference {found.mean:+.3f}"
    if found.low is not None and found.high is not None and found.p is not None:
        text += f" (95 % interval {found.low:+.3f} to {found.high:+.3f}, p = {found.p:.2g})"
    text += f" over {found.participants} participants"
    return text if found.enough else f"{text}, too few to tell (at least {MIN_PARTICIPANTS})"
