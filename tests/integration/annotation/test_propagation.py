"""A mask is propagated to the other channels of its acquisition, and withdrawn with its origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.annotation import review
from mrseg_label.annotation.record import Submitted
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.exclusion import exclude
from mrseg_label.reports.cases import read_examination
from mrseg_label.reports.progress import read_progress
from mrseg_label.rounds.counting import count_towards_round
from tests.support.annotation_house import House, draft_array, make_house
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant


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


def test_every_series_that_carries_a_mask_counts_as_an_examination(house: House) -> None:
    with house.catalog.begin() as session:
        for code in ("P10", "P11"):
            person = add_participant(session, code, held_out=False)
            for number in range(6):
                add_annotation(session, add_acquisition(session, person, station=f"station{number}"))
    progress = read_progress(house.workspace)
    assert (progress.annotated_total, progress.examinations_drawn, progress.examinations_propagated) == (12, 12, 36)
    assert (progress.annotated_since_round, progress.round_counts) == (12, "corrections")
    with house.catalog.read() as session:
        one = session.query(Acquisition).filter(Acquisition.annotated_at.is_not(None)).first()
        assert one is not None and one.primary_examination_id is not None
        image = one.primary_examination_id
        settings = house.workspace.settings.model_copy(update={"round_counts": "examinations"})
        assert count_towards_round(session, settings) == 48
    change(house, image, propagation="off")
    assert read_progress(house.workspace).examinations_propagated == 33
    exclude(house.catalog, image, reason="moved", actor="chief")
    progress = read_progress(house.workspace)
    assert (progress.annotated_total, progress.examinations_drawn, progress.examinations_propagated) == (11, 11, 33)
    with house.catalog.read() as session:
        assert count_towards_round(session, settings) == 44
