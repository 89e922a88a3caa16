"""nnU-Net's ``dataset.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import BACKGROUND, FILE_ENDING, IGNORE, READER
from mrseg_label.nnunet.mirroring import PAIRS_KEY

PROPAGATED_TABLE = "propagated.tsv"  # beside it: cases whose mask was drawn on another image (case, drawn_on)
CHANNEL_NAME = "MR"  # any name but CT: nnU-Net then normalises each image by its own mean and standard deviation


def dataset_json(name: str, cases: Sequence[str], scheme: LabelScheme) -> dict[str, Any]:
    """Make the content of ``dataset.json``.

    nnU-Net's label ``ignore`` is always declared, whether a voxel of these cases has it or not: cases are preprocessed
    in another way with it, so that the first case with an unknown background would void all that was preprocessed.

    Parameters
    ----------
    cases : case ids.
    """
    labels = {BACKGROUND: 0} | scheme.label_names | {IGNORE: len(scheme) + 1}  # nnU-Net requires that it is the highest
    return {
        "name": name,
        "channel_names": {"0": CHANNEL_NAME},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": READER,
        "label_scheme_sha256": scheme.digest,
        PAIRS_KEY: [
            [one.name, one.paired_with] for one in scheme if one.paired_with is not None and one.name < one.paired_with
        ],
        # With this list nnU-Net need not search the folder, for which it would start processes.
        "dataset": {
            case: {
                "images": [f"imagesTr/{case}_0000{FILE_ENDING}"],
                "label": f"labelsTr/{case}{FILE_ENDING}",
            }
            for case in cases
        },
    }


def without_ignore(content: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the label ``ignore``, for a training of which no voxel has it.

    With the label nnU-Net masks its loss and draws patches around annotated voxels; without it, anywhere. Where nothing
    is ignored the training must be the one that nnU-Net would do, and cost no more.
    """
    return {**content, "labels": {name: value for name, value in content["labels"].items() if name != IGNORE}}
