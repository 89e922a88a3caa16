"""Which annotations are independent readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mrseg_label.annotation.independence import pairs_among
from mrseg_label.catalog.queries.readings import Reading, Sight

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def reading(author: str, number: int, /, **changes: object) -> Reading:
    moment = MOMENT + timedelta(hours=number)
    made = Reading(
        f"{author}-{number}", "case", "ex", number, author, author, False, "draft", f"d{number}", "", moment, {}
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def pairs(*found: Reading, seen: tuple[Sight, ...] = ()) -> list[tuple[str, str]]:
    return [(pair.first.id, pair.second.id) for pair in pairs_among(found, seen)]


def test_each_pair_of_readers_counts_once_with_their_newest_reading() -> None:
    found = [reading("bob", 1), reading("ada", 2), reading("ada", 3), reading("chen", 4)]
    assert pairs(*found) == [("ada-3", "bob-1"), ("ada-3", "chen-4"), ("bob-1", "chen-4")]
    assert pairs(reading("ada", 1), reading("ada", 2)) == []
    assert pairs(reading("ada", 1), reading("bob", 2, acquisition_id="other")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"report": {"began_from": "ada-1"}},  # a correction of the other's mask
        {"report": {"restored_from": "x"}},
        {"rejected": True},
        {"author": "user-xyz"},  # several people
        {"author": "import", "client": "import"},
    ],
    ids=str,
)
def test_a_correction_of_a_correction_and_the_like_do_not_count(changes: dict[str, object]) -> None:
    assert pairs(reading("ada", 1), reading("bob", 2)) == [("ada-1", "bob-2")]
    assert pairs(reading("ada", 1), reading("bob", 2, **changes)) == []
    assert pairs(reading("ada", 1, **changes), reading("bob", 2)) == []


def test_a_second_reading_counts_only_while_it_is_blinded() -> None:
    ada, bob = reading("ada", 1), reading("bob", 3)
    seen = Sight("bob", "ada-1", MOMENT + timedelta(hours=2))
    assert pairs(ada, bob, seen=(seen,)) == []
    later = replace(seen, at=MOMENT + timedelta(hours=4))
    assert pairs(ada, bob, seen=(later,)) == [("ada-1", "bob-3")], "it was submitted before"
    assert pairs(ada, bob, seen=(replace(seen, reader="chen"),)) == [("ada-1", "bob-3")]
    assert pairs(ada, bob, reading("bob", 5), seen=(later,)) == [("ada-1", "bob-3")], "the blinded one of two"
    own = Sight("ada", "ada-1", MOMENT)
    assert pairs(ada, bob, seen=(own,)) == [("ada-1", "bob-3")], "everybody may see their own"


def test_readings_of_the_same_draft_are_known() -> None:
    (pair,) = pairs_among([reading("ada", 1), reading("bob", 2)], [])
    assert pair.same_draft and pair.digests == ("d1", "d2")
    (pair,) = pairs_among([reading("ada", 1, digest="z", presegmentation_id=None), reading("bob", 2)], [])
    assert not pair.same_draft and pair.digests == ("d2", "z")
