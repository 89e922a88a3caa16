"""Split cases into training and validation by participant.

Channels and stations of one participant look alike, so all cases of a participant are on the same side.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping

from mrseg_label.errors import InvalidInput

Split = dict[str, list[str]]


def rank_participants(participants: Iterable[str]) -> list[str]:
    """Order participants by a hash of their codes, so that the order does not change when others are added."""
    return sorted(set(participants), key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))


def held_out_participants(participants: Iterable[str], share: float = 0.2, minimum: int = 2) -> list[str]:
    """Return the first ``share`` of the ranked participants, at least ``minimum`` but never all of them."""
    ranked = rank_participants(participants)
    wanted = max(minimum, math.ceil(share * len(ranked)))
    return ranked[: min(wanted, max(len(ranked) - 1, 0))]


def deal_into_folds(
    participants: Iterable[str], folds: int, positions: Mapping[str, int] | None = None
) -> list[set[str]]:
    """Deal participants into folds so that nobody's fold changes when others join.

    Parameters
    ----------
    positions : number of each participant in the order in which they joined; the fold is its remainder by ``folds``,
        and participants of one number stay together. Those without one follow in the order of
        :func:`rank_participants`.

    Returns
    -------
    Participants of each fold. Where participants left, so that a fold would be empty, those who joined last move there.

    Raises
    ------
    InvalidInput
        There are fewer participants than folds.
    """
    ranked, known = rank_participants(participants), positions or {}
    groups: dict[int, set[str]] = {}
    following = max(known.values(), default=-1) + 1
    for name in ranked:
        position = known.get(name)
        if position is None:
            position, following = following, following + 1
        groups.setdefault(position, set()).add(name)
    if len(groups) < folds:
        raise InvalidInput(
            f"{folds} folds need at least {folds} participants that are not held out; there are {len(groups)}"
        )
    dealt = [sorted(position for position in groups if position % folds == fold) for fold in range(folds)]
    while not all(dealt):
        dealt[dealt.index([])].append(max(dealt, key=len).pop())
    return [set().union(*(groups[position] for position in fold)) for fold in dealt]


def make_splits(
    participant_of: Mapping[str, str],
    held_out: Collection[str] = (),
    folds: int = 1,
    positions: Mapping[str, int] | None = None,
) -> list[Split]:
    """Make splits in the form of nnU-Net's ``splits_final.json``.

    Parameters
    ----------
    participant_of : participant of each case id.
    held_out : participants whose cases never train. With one fold they are its validation cases; if there are none,
        the training cases validate too, as in nnU-Net's fold ``all``.
    folds : with more than one, cross-validation over the participants that are not held out.
    positions : see :func:`deal_into_folds`.

    Raises
    ------
    InvalidInput
        Nothing is left to train on, or there are fewer participants than folds.
    """
    training = {case: name for case, name in participant_of.items() if name not in held_out}
    if not training:
        raise InvalidInput(
            f"all {len(set(participant_of.values()))} participants are held out; annotate another participant first"
        )
    if folds == 1:
        validation = sorted(set(participant_of) - set(training)) or sorted(training)
        return [{"train": sorted(training), "val": validation}]
    splits = []
    for outside in deal_into_folds(training.values(), folds, positions):
        splits.append(
            {
                "train": sorted(case for case, name in training.items() if name not in outside),
                "val": sorted(case for case, name in training.items() if name in outside),
            }
        )
    return splits
