"""Which images of an acquisition carry its mask."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.propagation import SAME_GRID_VOXELS, without_mask
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.catalog.types import SwapState
from tests.support.catalog_rows import CHANNELS, GEOMETRY


def moved(millimetres: float) -> dict[str, Any]:
    """The grid of the other channels, moved along its first axis; its smallest spacing is 2 mm."""
    geometry = copy.deepcopy(GEOMETRY)
    geometry["affine"][0][3] += millimetres  # type: ignore[index]
    return geometry


@pytest.mark.parametrize(
    ("off", "values", "drawn_on", "expected"),
    [
        (False, {}, "in", {}),
        (False, {}, "water", {}),
        (True, {}, "in", {"opp": "not propagated", "fat": "not propagated", "water": "not propagated"}),
        (True, {}, "gone", dict.fromkeys(CHANNELS, "not propagated")),
        (False, {"water": {"misregistration": Misregistration.SUSPECTED}}, "in", {"water": "lies elsewhere"}),
        (False, {"water": {"misregistration": Misregistration.CONFIRMED}}, "in", {"water": "lies elsewhere"}),
        (False, {"water": {"misregistration": Misregistration.NONE}}, "in", {}),
        # What was drawn on a misregistered image holds for it, and for no other.
        (
            False,
            {"water": {"misregistration": Misregistration.SUSPECTED}},
            "water",
            dict.fromkeys(("in", "opp", "fat"), "edit water --misreg"),
        ),
        (
            False,
            {"water": {"misregistration": Misregistration.SUSPECTED}, "fat": {"misregistration": Misregistration.NONE}},
            "fat",
            {"water": "lies elsewhere"},
        ),
        (False, {name: {"swap": SwapState.SUSPECTED} for name in ("fat", "water")}, "in", dict.fromkeys(("fat", "water"), "exchanged")),
        # A mask that was drawn on an exchanged image shows where things are: it holds for the others, but not for that image.
        (False, {"water": {"swap": SwapState.CONFIRMED}}, "water", {"water": "exchanged"}),
        (False, {"opp": {"geometry": moved(1.9 * SAME_GRID_VOXELS)}}, "in", {}),
        (False, {"opp": {"geometry": moved(2.1 * SAME_GRID_VOXELS)}}, "in", {"opp": "up to 0.0021 mm apart"}),
        (False, {"opp": {"geometry": {**GEOMETRY, "shape": [4, 5, 7]}}}, "in", {"opp": "number of voxels differs"}),
    ],
)  # fmt: skip
def test_a_mask_holds_where_nothing_speaks_against_it(
    off: bool, values: dict[str, dict[str, Any]], drawn_on: str, expected: dict[str, str]
) -> None:
    acquisition = Acquisition(id="aq", propagates=not off, primary_examination_id="in")
    channels = [Examination(id=name, **({"geometry": GEOMETRY} | values.get(name, {}))) for name in CHANNELS]
    found = without_mask(acquisition, channels, drawn_on)
    assert found.keys() == expected.keys()
    assert all(text in found[name] for name, text in expected.items()), found
