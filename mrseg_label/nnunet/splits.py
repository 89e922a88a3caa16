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


def make_splits(participant_of: Mapping[str, str], held_out: Collection[str] = (), folds: int = 1) -> list[Split]:
    """Make splits in the form of nnU-Net's ``splits_final.json``.

    Parameters
    ----------
    participant_of : participant of each case id.
    held_out : participants whose cases never train. With one fold they are its validation cases; if there are none,
        the training cases validate too, as in nnU-Net's fold ``all``.
    folds : with more than one, cross-validation over the participants that are not held out.

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
    ranked = rank_participants(training.values())
    if len(ranked) < folds:
        raise InvalidInput(
            f"{folds} folds need at least {folds} participants that are not held out; there are {len(ranked)}"
        )
    splits = []
    for fold in range(folds):
        outside = set(ranked[fold::folds])
        splits.append(
            {
                "train": sorted(case for case, name in training.items() if name not in outside),
                "val": sorted(case for case, name in training.items() if name in outside),
            }
        )
    return splits
