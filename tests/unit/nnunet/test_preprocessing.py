"""Preprocessing in several processes ends, also when one of them is killed."""

from __future__ import annotations

import pytest

from mrseg_label.errors import MrsegError
from mrseg_label.nnunet.preprocessing import in_processes
from tests.support.deadly import die_of


def test_results_come_from_several_processes() -> None:
    assert sorted(in_processes(die_of, [1, 2, 4], 2)) == [1, 2, 4]


def test_a_process_that_is_killed_ends_the_preprocessing_with_a_reason() -> None:
    with pytest.raises(MrsegError, match="one of the 2 processes that preprocess images was killed"):
        list(in_processes(die_of, [1, 2, 3, 4], 2))
