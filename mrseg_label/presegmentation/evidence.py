"""Choose by evidence: which source of a structure needs least correction.

The evidence is on annotated cases: what a reader would have to change of each source's mask (``SourceScore``). Of a trained
model only cases of participants whom it was not trained on count.

**Two sources are compared** on the cases that both segmented. The draft's own model version is used unless another source
needed clearly less correction: the 95 % interval of the difference over the participants (Student's t), of whom there are at least
:data:`MIN_PARTICIPANTS`, lies above zero. Of sources that do, the one that needed least is taken.

**Which cases**: those of the same sequence and station, if they have that many participants; else those of the same sequence,
else of the same station, else all.

**Whose draft the label began as** matters: a reader leaves what is nearly right, so that a label agrees with its own draft too
well. Cases whose draft of the structure came from neither of the two are used alone where they have that many participants.
Otherwise the source that made the draft is charged with its advantage, in DSC: as found in the data, from how much better each of two
sources does on labels that began as its own drafts (:func:`estimate_advantage`), else as PROMOTION_DRAFT_ADVANTAGE has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

MIN_PARTICIPANTS = 3
LARGEST_ADVANTAGE = 0.1
_FEWEST_PAIRS = 10  # pairs of sources and structures that an advantage is estimated from
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Work:
    """What a reader would have to change of one structure, its volume in the source's mask and in the annotation; ml."""

    edited: float
    drafted: float
    annotated: float

    @property
    def dsc(self) -> float:
        """Dice similarity coefficient of the two."""
        size = self.drafted + self.annotated
        return 1.0 - self.edited / size if size else 1.0

    def with_advantage(self, dsc: float) -> float:
        """What would have to be changed if the label had not begun as this source's draft, which raised its DSC by ``dsc``."""
        return self.edited + dsc * (self.drafted + self.annotated)


_NOTHING = Work(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MeasuredCase:
    """An annotated case that several sources segmented.

    Attributes
    ----------
    drafted_by : by structure, the source of the draft that the label began as.
    work : by source, the work of each structure that the reader judged and that the source's mask or the annotation has.
    seen_by : sources that were trained on the participant.
    """

    participant: str
    sequence: str
    station: str
    drafted_by: Mapping[str, str] = field(default_factory=dict)
    work: Mapping[str, Mapping[str, Work]] = field(default_factory=dict)
    seen_by: frozenset[str] = frozenset()

    def compares(self, structure: str, *sources: str) -> bool:
        """Whether the case says how sources differ in a structure."""
        if any(one in self.seen_by for one in sources):
            return False
        measured = [self.work[one] for one in sources if one in self.work]
        return len(measured) == len(sources) and any(structure in work for work in measured)

    def of(self, source: str, structure: str) -> Work:
        """The work on a structure; none where neither the source's mask nor the annotation has it."""
        return self.work[source].get(structure, _NOTHING)


@dataclass(frozen=True)
class Comparison:
    """How much less work one source was than another, for one structure.

    Attributes
    ----------
    saved : share of the other's work that it saves; negative if it needed more.
    clear : whether that is more than noise: the interval over enough participants lies above zero.
    cases : what kind of cases were compared: "sequence and station", "sequence", "station" or "all".
    """

    saved: float
    clear: bool
    participants: int
    cases: str


@dataclass(frozen=True)
class Chosen:
    """The source of a structure.

    Attributes
    ----------
    dsc : what to expect of it, from the annotated cases; None without any.
    reason : the comparison that decided; None where the draft's own version was kept.
    decided : whether it was compared with every other source that knows the structure, over enough participants.
    """

    source: str
    dsc: float | None = None
    reason: Comparison | None = None
    decided: bool = False


def choose(
    cases: Sequence[MeasuredCase],
    sources: Sequence[str],
    knows: Mapping[str, frozenset[str]],
    structures: Iterable[str],
    sequence: str,
    station: str,
    advantage: float,
) -> dict[str, Chosen]:
    """Choose the source of each structure.

    Parameters
    ----------
    sources : that may be chosen; the first is that of the draft's own model version, which is kept without evidence.
    knows : by source, the structures that it can segment; one that does not know a structure is no candidate for it.
    sequence, station : of the image.
    advantage : DSC by which a label favours the source whose draft it began as (:func:`estimate_advantage`).

    Returns
    -------
    By structure. Structures that no source knows are the first source's.
    """
    chosen = {}
    for structure in structures:
        candidates = [one for one in sources if structure in knows[one]] or [sources[0]]
        own, *others = candidates
        best: Chosen | None = None
        for other in others:
            found = compare(cases, structure, own, other, sequence, station, advantage)
            if found is not None and found.clear and (best is None or found.saved > _saved(best)):
                best = Chosen(other, None, found)
        source = own if best is None else best.source
        dsc = _expected_dsc(cases, structure, source, advantage)
        compared = [[case for case in cases if case.compares(structure, own, other)] for other in others]
        decided = all(_participants(both) >= MIN_PARTICIPANTS for both in compared)
        chosen[structure] = Chosen(source, dsc, None if best is None else best.reason, decided)
    return chosen


def compare(
    cases: Sequence[MeasuredCase],
    structure: str,
    own: str,
    other: str,
    sequence: str,
    station: str,
    advantage: float,
) -> Comparison | None:
    """Compare the work of two sources; None where no case tells."""
    both = [case for case in cases if case.compares(structure, own, other)]
    levels = {
        "sequence and station": [case for case in both if (case.sequence, case.station) == (sequence, station)],
        "sequence": [case for case in both if case.sequence == sequence],
        "station": [case for case in both if case.station == station],
        "all": both,
    }
    for name, found in levels.items():
        if name == "all" or _participants(found) >= MIN_PARTICIPANTS:
            return _compare(found, structure, own, other, advantage, name)
    return None


def estimate_advantage(cases: Sequence[MeasuredCase], otherwise: float) -> float:
    """Estimate by how much DSC labels favour the source whose draft they began as.

    For two sources A and B and a structure, the mean difference of their DSC is taken over the labels that began as A's
    draft, and over those that began as B's. How much better A is cancels out of the difference of the two, and half of it is the
    advantage. The mean over all pairs and structures counts if there are at least ten, in which each side has
    :data:`MIN_PARTICIPANTS` participants, ``otherwise`` in its place where there are fewer; it is limited to 0 and
    :data:`LARGEST_ADVANTAGE`.
    """
    found: list[float] = []
    sources = sorted({source for case in cases for source in case.work})
    structures = sorted({name for case in cases for name in case.drafted_by})
    for position, first in enumerate(sources):
        for second in sources[position + 1 :]:
            for structure in structures:
                both = [case for case in cases if case.compares(structure, first, second)]
                sides = [[case for case in both if case.drafted_by.get(structure) == one] for one in (first, second)]
                if min(_participants(side) for side in sides) < MIN_PARTICIPANTS:
                    continue
                gaps = [
                    fmean(case.of(first, structure).dsc - case.of(second, structure).dsc for case in side)
                    for side in sides
                ]
                found.append((gaps[0] - gaps[1]) / 2)
    if len(found) < _FEWEST_PAIRS:
        return otherwise
    return min(max(fmean(found), 0.0), LARGEST_ADVANTAGE)


def _compare(
    cases: Sequence[MeasuredCase], structure: str, own: str, other: str, advantage: float, level: str
) -> Comparison | None:
    neutral = [case for case in cases if case.drafted_by.get(structure) not in (own, other)]
    if _participants(neutral) >= MIN_PARTICIPANTS:
        cases = neutral
    work: dict[str, float] = {}
    saved: dict[str, float] = {}
    for case in cases:
        charged, alternative = (_charged(case, structure, one, advantage) for one in (own, other))
        work[case.participant] = work.get(case.participant, 0.0) + charged
        saved[case.participant] = saved.get(case.participant, 0.0) + charged - alternative
    in_all = sum(work.values())
    if in_all <= 0:
        return None
    values = list(saved.values())
    clear = len(values) >= MIN_PARTICIPANTS and fmean(values) > _half_interval(values)
    return Comparison(sum(values) / in_all, clear, len(values), level)


def _half_interval(values: Sequence[float]) -> float:
    """Half the width of the interval of a mean."""
    from scipy import stats  # takes a second to import

    quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1))
    return quantile * stdev(values) / math.sqrt(len(values))


def _charged(case: MeasuredCase, structure: str, source: str, advantage: float) -> float:
    work = case.of(source, structure)
    return work.with_advantage(advantage if case.drafted_by.get(structure) == source else 0.0)


def _expected_dsc(cases: Sequence[MeasuredCase], structure: str, source: str, advantage: float) -> float | None:
    own = [case for case in cases if case.compares(structure, source)]
    size = sum(case.of(source, structure).drafted + case.of(source, structure).annotated for case in own)
    if not size:
        return None
    return 1.0 - sum(_charged(case, structure, source, advantage) for case in own) / size


def _participants(cases: Iterable[MeasuredCase]) -> int:
    return len({case.participant for case in cases})


def _saved(chosen: Chosen) -> float:
    return chosen.reason.saved if chosen.reason is not None else 0.0
