"""Batches: ROUND_SIZE cases each, of which a fifth are of held-out participants, and at which places."""

from __future__ import annotations

import math
from fractions import Fraction

from mrseg_label.catalog.queries.participants import HELD_OUT_SHARE


def held_out_in_batch(round_size: int) -> int:
    """How many cases of a batch are of held-out participants: their share, but never more than half."""
    return min(math.ceil(HELD_OUT_SHARE * round_size), round_size // 2)


def held_out_among(count: int, round_size: int) -> int:
    """How many of the first ``count`` cases, counted over all batches, are of held-out participants.

    A batch is divided into as many equal parts as it has such cases, and each is in the middle of its part: in a batch of 50
    the cases 3, 8, 13 and so on, in one of 8 the cases 3 and 7.
    """
    batches, rest = divmod(count, round_size)
    share = held_out_in_batch(round_size)
    return batches * share + math.ceil(Fraction(rest * share, round_size) - Fraction(1, 2))
