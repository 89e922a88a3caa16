"""Of each structure a mixed draft has the voxels of its source, and a stated order decides where two claim one."""

from __future__ import annotations

import numpy as np

from mrseg_label.catalog.draft_details import is_of_one_source, mixture_text, source_of, version_of
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.presegmentation.evidence import Chosen, Comparison
from mrseg_label.presegmentation.mixture import DraftMask, Segmented, mix

NAMES = ("liver", "spleen", "colon", "heart")
SCHEME = LabelScheme(tuple(Structure(number, name, "") for number, name in enumerate(NAMES, start=1)))
CT = "TotalSegmentator inverted"
CLEAR = Comparison(0.2, True, 5, "all")


def line(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1)


def mixed(chosen: dict[str, Chosen], own: tuple[int, ...], other: tuple[int, ...]) -> DraftMask:
    segmented = [Segmented(line(*own), "nnunet", "r2", "r2"), Segmented(line(*other), "inverted", "bootstrap", CT)]
    return mix(segmented, chosen, SCHEME)


def stored(draft: DraftMask) -> Presegmentation:
    return Presegmentation(model_version="r2", source=draft.source, details=dict(draft.details))


def test_each_structure_has_the_voxels_of_its_source() -> None:
    draft = mixed({"spleen": Chosen(CT, 0.8, CLEAR)}, (1, 1, 2, 0, 0, 3), (0, 0, 0, 2, 2, 1))
    assert draft.label_map.ravel().tolist() == [1, 1, 0, 2, 2, 3]
    assert draft.source == "nnunet"
    row = stored(draft)
    assert [source_of(row, name) for name in NAMES] == ["r2", CT, "r2", "r2"]
    assert (version_of(row, "spleen"), version_of(row, "liver"), version_of(row, "heart")) == ("bootstrap", "r2", "r2")
    assert draft.details["mixture"]["reasons"] == {"spleen": {"saved": 0.2, "participants": 5, "cases": "all"}}
    assert mixture_text(row) == f"liver, colon: r2; spleen: {CT}"  # the heart is in neither
    assert not is_of_one_source(row)


def test_a_contested_voxel_belongs_to_the_structure_whose_source_is_better_there() -> None:
    own, other = (1, 1, 1, 0), (0, 2, 2, 2)
    better = mixed({"liver": Chosen("r2", 0.7), "spleen": Chosen(CT, 0.8, CLEAR)}, own, other)
    assert better.label_map.ravel().tolist() == [1, 2, 2, 2]
    worse = mixed({"liver": Chosen("r2", 0.9), "spleen": Chosen(CT, 0.8, CLEAR)}, own, other)
    assert worse.label_map.ravel().tolist() == [1, 1, 1, 2]
    unknown = mixed({"spleen": Chosen(CT)}, own, other)  # nothing is known of either: the draft's own version first
    assert unknown.label_map.ravel().tolist() == [1, 1, 1, 2]


def test_a_draft_of_one_source_stays_as_it_is_and_has_no_mixture() -> None:
    label_map = line(1, 2, 3, 0)
    draft = mix([Segmented(label_map, "nnunet", "r2", "r2")], {}, SCHEME)
    assert draft.label_map is label_map and draft.details == {}
    row = stored(draft)
    assert is_of_one_source(row) and mixture_text(row) is None
    assert (source_of(row, "liver"), version_of(row, "liver")) == ("r2", "r2")
    row.model_version, row.source = "bootstrap", "equalized"
    assert source_of(row, "liver") == "TotalSegmentator equalized"


def test_the_source_of_most_structures_is_named_alone() -> None:
    names = [f"structure {number}" for number in range(7)]
    details = {
        "mixture": {"structures": dict.fromkeys(names[:6], "r2") | {names[6]: CT}, "present": names, "sources": {}}
    }
    row = Presegmentation(model_version="r2", source="nnunet", details=details)
    assert mixture_text(row) == f"structure 6: {CT}; all others: r2"
