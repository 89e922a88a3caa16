"""Doubts about the masks of a snapshot: found, counted without names, and told to the administrator."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.catalog.tables import Annotation
from mrseg_label.imaging import write_nifti
from mrseg_label.rounds.card import card_text
from mrseg_label.rounds.doubts import audit_masks, count_doubts, doubts_warning
from tests.support.phantom_masks import ANATOMY, phantom, with_sides_swapped


def test_masks_of_a_snapshot_are_audited_as_they_are_used(tmp_path: Path) -> None:
    case = phantom(0)
    masks = []
    for name, mask in {
        "right": case.mask,
        "wrong": with_sides_swapped(case.mask, ["left_kidney", "left_lung"]),
    }.items():
        path = tmp_path / f"{name}.nii.gz"
        write_nifti(path, mask, case.geometry)
        masks.append((Annotation(id=f"an-{name}", examination_id=f"ex-{name}"), path))
    (tmp_path / "damaged.nii.gz").write_bytes(b"no mask")
    masks.append((Annotation(id="an-damaged", examination_id="ex-damaged"), tmp_path / "damaged.nii.gz"))
    doubtful = audit_masks(masks, ANATOMY)
    assert [(one["annotation"], one["examination"]) for one in doubtful] == [("an-wrong", "ex-wrong")]
    assert {doubt["structure"] for doubt in doubtful[0]["doubts"]} == {"left_kidney", "left_lung"}
    counts = count_doubts(doubtful)
    assert counts == {"masks": 1, "by_structure": {"left_kidney": 1, "left_lung": 1}}
    warning = doubts_warning(doubtful, 3)
    assert warning is not None
    assert warning.startswith(
        "1 masks of round 3 may have mixed-up sides or directions, among them annotation an-wrong: left_"
    )


def test_a_snapshot_without_doubts_says_nothing() -> None:
    assert doubts_warning([], 3) is None
    assert count_doubts([]) == {"masks": 0, "by_structure": {}}


def test_a_card_counts_doubtful_masks() -> None:
    card = {"round": 3, "snapshot": "s", "training": {}, "held_out": {}, "structures": {}}
    assert "doubtful" not in card_text(card, "r3")
    text = card_text(card | {"doubts": {"masks": 1, "by_structure": {"spleen": 1}}}, "r3")
    assert "## Masks whose sides or directions are doubtful\n\n1, used as they are.\n- spleen: 1" in text
