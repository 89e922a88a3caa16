"""The held-out cases of a batch are spread evenly over it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mrseg_label.catalog.queries.batches import held_out_among, held_out_in_batch


@pytest.mark.parametrize("round_size", [1, 2, 3, 4, 5, 7, 8, 10, 13, 50, 99])
def test_held_out_cases_lie_at_even_distances_over_all_batches(round_size: int) -> None:
    counts = [held_out_among(count, round_size) for count in range(4 * round_size + 1)]
    places = [count for count in range(1, len(counts)) if counts[count] > counts[count - 1]]
    share = held_out_in_batch(round_size)
    assert counts[::round_size] == [batch * share for batch in range(5)]
    assert 1 not in places  # a round that is started early has something to train on
    distances = {after - before for before, after in pairwise(places)}
    assert not distances or max(distances) - min(distances) <= 1


def test_the_places_in_a_batch_of_fifty() -> None:
    counts = [held_out_among(count, 50) for count in range(51)]
    assert [count for count in range(1, 51) if counts[count] > counts[count - 1]] == list(range(3, 51, 5))
