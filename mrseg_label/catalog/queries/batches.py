"""Batches: ROUND_SIZE cases each, of which a fifth are of held-out participants, and at which places."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from functools import cache

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.begun import BeingAnnotated
from mrseg_label.catalog.queries.participants import HELD_OUT_SHARE
from mrseg_label.catalog.tables import Acquisition


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


def begun_in_batches(session: Session, being_annotated: BeingAnnotated) -> tuple[int, int]:
    """Cases that count towards the next round or are being annotated: all, and those of held-out participants."""
    counts: Counter[bool | None] = Counter(dict(session.execute(_new_for_round()).all()))
    counts.update(case.held_out for case in being_annotated)
    return counts.total(), counts[True]


@cache
def _new_for_round() -> Select[bool | None, int]:
    query = select(Acquisition.held_out, func.count()).where(concepts.is_new_for_round())
    return query.group_by(Acquisition.held_out)
