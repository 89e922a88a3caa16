"""Compute the DSC of all structures from one joint histogram, compared with MONAI's ``compute_dice`` on one-hot maps.

uv run python -m benchmarks.metrics [--quick]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice
from numpy.typing import NDArray

from benchmarks.measuring import measure_alternately, parse_quick, print_result
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import dice
from mrseg_label.simulation.phantom import Participant, paint


def main() -> None:
    """Measure on a label map of the phantom and a shifted copy of it."""
    quick = parse_quick(__doc__)
    structures = len(LabelScheme.default())
    truth = paint(Participant.draw(1, 0), "abdomen").structures
    moved = np.roll(truth, 2, axis=0)

    def ours() -> NDArray[Any]:
        return dice(truth, moved, structures)

    def stock() -> NDArray[Any]:
        maps = [
            torch.nn.functional.one_hot(torch.from_numpy(m.astype(np.int64)), structures + 1) for m in (moved, truth)
        ]
        prediction, reference = (m.permute(3, 0, 1, 2)[None] for m in maps)
        scores: NDArray[Any] = compute_dice(prediction, reference, include_background=False)[0].numpy()
        return scores

    difference = np.nanmax(np.abs(ours() - stock()))
    if difference > 1e-5:
        raise SystemExit(f"the results differ by {difference}")
    print_result("metrics", "MONAI compute_dice", *measure_alternately(ours, stock, 3 if quick else 7))


if __name__ == "__main__":
    main()
