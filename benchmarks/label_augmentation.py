"""Augment patches of a label map of 40 structures: ours by nearest neighbour, nnU-Net's own structure by structure.

uv run python -m benchmarks.label_augmentation [--quick]
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measuring import measure_alternately, parse_quick, print_result
from mrseg_label.nnunet.environment import prepare_for_prediction
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.simulation.phantom import Participant, paint, render

PATCH = (96, 128, 128)
_SCALES = [[0.5**level] * 3 for level in range(5)]  # of deep supervision
_ROTATION = (-30 / 360 * 2 * np.pi, 30 / 360 * 2 * np.pi)
_PATCHES = 20


def main() -> None:
    """Measure the transforms of a training on patches of the phantom's trunk, with equal random numbers."""
    quick = parse_quick(__doc__)
    os.environ["OMP_NUM_THREADS"] = "1"  # as in each of nnU-Net's processes that augment
    prepare_for_prediction()
    import torch
    from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from mrseg_label.nnunet.augmentation import with_profile

    torch.set_num_threads(1)
    painted = paint(Participant.draw(1, 0), "trunk")
    shape = get_patch_size(PATCH, _ROTATION, _ROTATION, _ROTATION, (0.85, 1.25))
    box = [[(n - m) // 2, (n - m) // 2 + int(m)] for n, m in zip(painted.structures.shape, shape, strict=True)]
    labels = torch.from_numpy(crop_and_pad_nd(painted.structures.astype(np.int16), box, -1)[None])
    image = torch.from_numpy(crop_and_pad_nd(render(painted, "in").astype(np.float32), box, 0)[None])
    print(f"{len(torch.unique(labels))} values in a patch of {'x'.join(map(str, PATCH))}", file=sys.stderr)
    with contextlib.redirect_stdout(sys.stderr):
        stock = nnUNetTrainer.get_training_transforms(PATCH, _ROTATION, _SCALES, None, False)
        ours = with_profile(
            nnUNetTrainer.get_training_transforms(PATCH, _ROTATION, _SCALES, None, False),
            replace(profile_named("full"), nearest_labels=True),
        )

    def augment(transforms: Callable[..., Any]) -> None:
        np.random.seed(0)
        torch.manual_seed(0)
        for _ in range(_PATCHES):
            transforms(image=image.clone(), segmentation=labels.clone())

    print_result(
        "label_augmentation",
        "nnU-Net",
        *(
            seconds / _PATCHES
            for seconds in measure_alternately(lambda: augment(ours), lambda: augment(stock), 1 if quick else 3)
        ),
    )


if __name__ == "__main__":
    main()
