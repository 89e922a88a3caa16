"""Trained models as files that have the form of nnU-Net's, for tests of all that does not load them."""

from __future__ import annotations

import json
from pathlib import Path

from mrseg_label.labels import LabelScheme

TRAINED = "Dataset501_round/nnUNetTrainer__nnUNetPlans__3d_fullres"


def make_model(
    root: Path,
    weights: bytes = b"weights",
    labels: dict[str, int] | None = None,
    reader: str = "NibabelIOWithReorient",
) -> Path:
    """A folder in nnU-Net's results layout; only its form matters here."""
    folder = root / TRAINED
    (folder / "fold_0").mkdir(parents=True)
    labels = LabelScheme.default().label_names if labels is None else labels
    dataset = {"labels": {"background": 0} | labels, "file_ending": ".nii.gz", "channel_names": {"0": "MR"}}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": reader}))
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(weights)
    return root
