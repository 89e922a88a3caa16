"""DSC of all structures: one joint histogram against MONAI's ``compute_dice`` on one-hot maps.

uv run python -m benchmarks.metrics [--quick]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice
from numpy.typing import NDArray

from benchmarks.measuring import interleaved, last_line, quick_wanted
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import dice
from mrseg_label.simulation.phantom import Participant, paint


def main() -> None:
    """Measure on a phantom's label map and a shifted copy of it."""
    quick = quick_wanted(__doc__)
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
        raise SystemExit(f"the two differ by {difference}")
    last_line("metrics", "MONAI compute_dice", *interleaved(ours, stock, 3 if quick else 7))


if __name__ == "__main__":
    main()
