"""How sure sources are: their disagreement, structure by structure, and exchanged sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.mixture import DraftMask, Segmented
from mrseg_label.presegmentation.uncertainty import assess, assess_draft
from mrseg_label.workspace import Workspace

SCHEME = LabelScheme.default()
LIVER, LEFT, RIGHT = (SCHEME[name].id for name in ("liver", "left_kidney", "right_kidney"))


def mask(**boxes: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A label map of slabs along the first axis."""
    array = np.zeros((30, 4, 5), dtype=np.uint8)
    for name, (start, stop) in boxes.items():
        array[start:stop] = SCHEME[name].id
    return array


def test_a_small_structure_counts_as_much_as_a_large_one() -> None:
    first = mask(liver=(0, 20), left_kidney=(24, 26))
    second = mask(liver=(0, 20), left_kidney=(25, 27))
    found = assess([first, second], [None, None], SCHEME)
    assert found == {"disagreement": {"liver": 0.0, "left_kidney": 0.5}, "softmax": {}}


def test_a_structure_that_one_source_lacks_is_disagreement_and_a_stray_voxel_is_none() -> None:
    first, second = mask(liver=(0, 5)), mask()
    second[20, 0, 0] = LEFT
    found = assess([first, second], [], SCHEME)
    assert found is not None and found["disagreement"] == {"liver": 1.0}


def test_exchanged_sides_are_named_and_a_touching_border_is_not() -> None:
    first = mask(left_kidney=(0, 6), right_kidney=(20, 26))
    exchanged = assess([first, mask(right_kidney=(0, 6), left_kidney=(20, 26))], [], SCHEME)
    assert exchanged is not None and set(exchanged["sides"]) == {"left_kidney", "right_kidney"}
    one_side = assess([first, mask(right_kidney=(0, 6))], [], SCHEME)
    assert one_side is not None and set(one_side["sides"]) == {"left_kidney", "right_kidney"}
    touching = assess(
        [mask(left_kidney=(0, 6), right_kidney=(6, 12)), mask(left_kidney=(0, 7), right_kidney=(7, 12))], [], SCHEME
    )
    assert touching is not None and "sides" not in touching


def test_three_sources_and_their_networks_are_averaged() -> None:
    masks = [mask(liver=(0, 10)), mask(liver=(0, 10)), mask(liver=(5, 15))]
    found = assess(masks, [{LIVER: 0.1}, None, {LIVER: 0.3, RIGHT: 0.25}], SCHEME)
    assert found is not None
    assert found["disagreement"]["liver"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["softmax"] == {"liver": 0.2, "right_kidney": 0.25}


def test_one_source_alone_says_nothing() -> None:
    assert assess([mask(liver=(0, 5))], [None], SCHEME) is None
    only_network = assess([mask(liver=(0, 5))], [{LIVER: 0.1}], SCHEME)
    assert only_network == {"disagreement": {}, "softmax": {"liver": 0.1}}


def test_a_draft_is_compared_with_the_one_before_if_that_can_be(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "ws")
    grid = Geometry((30, 4, 5), np.diag([2.0, 2.0, 2.0, 1.0]))
    other_grid = Geometry((3, 4, 5), np.diag([2.0, 2.0, 2.0, 1.0]))
    now = mask(liver=(0, 10))
    expected = {
        "same": {"disagreement": {"liver": 0.0}, "softmax": {}},
        "other grid": None,
        "foreign label": None,
        "damaged": None,
    }
    for name, result in expected.items():
        path = workspace.root / "presegmentations" / f"{name}.nii.gz"
        earlier = np.full(grid.shape, 200, dtype=np.uint8) if name == "foreign label" else now
        write_nifti(
            path, earlier[:3] if name == "other grid" else earlier, other_grid if name == "other grid" else grid
        )
        if name == "damaged":
            path.write_bytes(path.read_bytes()[:60])
        draft = DraftMask(now, "nnunet")
        row = Presegmentation(path=f"presegmentations/{name}.nii.gz")
        assess_draft(draft, [Segmented(now, "nnunet", "r1", "r1")], workspace, row)
        assert draft.details.get("uncertainty") == result, name
