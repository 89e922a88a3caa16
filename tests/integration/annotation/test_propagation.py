"""A mask is propagated to the other channels of its acquisition, and withdrawn with its origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.annotation import review
from mrseg_label.annotation.record import Submitted
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.reports.cases import read_examination
from tests.support.annotation_house import House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\n{database_settings}')


def send(house: House, shift: int, examination: str | None = None) -> Submitted:
    array = draft_array()
    array[3, 0, shift] = 1
    return house.send(array, *house.workspace.scheme.names[:5], examination=examination, client="ada")


def labelled(house: House) -> tuple[str | None, str | None]:
    """How the image that readers open and the other one come by the mask."""
    with house.catalog.read() as session:
        rows = [session.get_one(Examination, one).labelled for one in (house.examination, house.other_channel)]
    return rows[0], rows[1]


def change(house: House, examination: str, **values: str) -> list[str]:
    return edit_examinations(house.catalog, [examination], values, actor="chief")[0].notes


def test_a_mask_goes_and_comes_with_its_origin(house: House) -> None:
    assert labelled(house) == (None, None)
    first = send(house, 0)
    assert labelled(house) == ("drawn", "propagated")
    second = send(house, 1, house.other_channel)  # a newer annotation takes its place
    assert labelled(house) == ("propagated", "drawn")
    review.withdraw(house.catalog, second.annotation_id, actor="chief", comment="wrong case")
    assert labelled(house) == ("drawn", "propagated")
    review.withdraw(house.catalog, first.annotation_id, actor="chief", comment="wrong case")
    assert labelled(house) == (None, None)
    review.restore(house.workspace, second.annotation_id, actor="chief")
    assert labelled(house) == ("propagated", "drawn")


def test_propagation_is_switched_off_and_on(house: House) -> None:
    change(house, house.examination, propagation="off")
    send(house, 0)
    assert labelled(house) == ("drawn", None)
    reason = read_examination(house.catalog, house.other_channel).not_labelled
    assert reason is not None and "--propagation on" in reason
    notes = change(house, house.other_channel, propagation="on")
    assert notes == [f"the mask of its acquisition holds for {house.other_channel} now"]
    assert labelled(house) == ("drawn", "propagated")
    assert read_examination(house.catalog, house.other_channel).not_labelled is None
    notes = change(house, house.examination, propagation="off")
    assert notes == [f"the mask of its acquisition was withdrawn from {house.other_channel}"]
    with house.catalog.read() as session:
        newest = audit.page(session, 1)[0]
    assert (newest.actor, newest.action, newest.detail["changes"]) == (
        "chief",
        "edited",
        {"propagation": ["on", "off"]},
    )
    assert newest.detail["notes"] == notes
    with pytest.raises(InvalidInput, match="use on or off"):
        change(house, house.examination, propagation="yes")


def test_a_misregistered_channel_gets_no_mask_until_somebody_decides(house: House) -> None:
    send(house, 0)
    notes = change(house, house.other_channel, misregistration="confirmed")
    assert f"the mask of its acquisition was withdrawn from {house.other_channel}" in notes
    assert labelled(house) == ("drawn", None)
    send(house, 1, house.other_channel)
    assert labelled(house) == (None, "drawn")
    change(house, house.other_channel, misregistration="none")
    assert labelled(house) == ("propagated", "drawn")
    with pytest.raises(InvalidInput, match="confirmed or none"):
        change(house, house.other_channel, misregistration="suspected")
    change(house, house.other_channel, station="pelvis", propagation="off")
    edit_examinations(house.catalog, [house.examination], {"station": "legs"}, actor="chief", alone=False)
    assert labelled(house) == (None, "drawn")
