"""Pre-segment by TotalSegmentator in a long-running process, compared with the stock call: same API, same weights.

uv run python -m benchmarks.presegmentation [--quick]
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.measuring import measure_alternately, parse_quick, print_result
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.imaging.intensity import round_to_int16
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.resources import sample_data


def main() -> None:
    """Measure on a cropped sample CT, so that the cost of a call besides the network is visible."""
    quick = parse_quick(__doc__)
    weights = find_weights().path
    array, geometry, _ = load_image(next((sample_data() / "ct").rglob("*.nii.gz")))
    cropped = np.ascontiguousarray(round_to_int16(array)[:, :, : min(40, array.shape[2])])
    image = nibabel.Nifti1Image(cropped, geometry.affine)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ |= {"TOTALSEG_WEIGHTS_PATH": str(weights), "TOTALSEG_HOME_DIR": str(home)}
        runtime = TotalSegmentatorRuntime(weights, home, "cpu")
        grid = Geometry((cropped.shape[0], cropped.shape[1], cropped.shape[2]), geometry.affine)
        results = {}

        def ours() -> None:
            results["ours"] = runtime.total_ids(cropped, grid)

        def stock() -> None:
            from totalsegmentator.python_api import totalsegmentator

            with contextlib.redirect_stdout(sys.stderr):
                found = totalsegmentator(image, None, ml=True, task="total", fast=True, device="cpu", quiet=True)
            results["stock"] = np.asarray(found.dataobj)

        ours()  # imports libraries and loads the network
        figures = measure_alternately(ours, stock, 1 if quick else 3)
    if not np.array_equal(results["ours"], results["stock"]):
        raise SystemExit("the two label maps differ")
    print_result("presegmentation", "totalsegmentator", *figures)


if __name__ == "__main__":
    main()
