"""Make the sample files of this folder: images of the phantom, their truth, and the picture in the documentation.

uv run python sample-data/make_samples.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mrseg_label.simulation.phantom.cohort import Planned, write_cohort
from mrseg_label.simulation.phantom.montage import phantom_montage

SEED = 2024
HERE = Path(__file__).parent


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the files")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "images" / "phantom.png")
    options = parser.parse_args()
    mr = [Planned(0, "abdomen"), Planned(1, "pelvis", ("in", "water"))]
    write_cohort(options.out / "mr", SEED, mr, truth=options.out / "truth" / "mr")
    write_cohort(
        options.out / "ct", SEED, [Planned(0, "abdomen", ("ct",))], truth=options.out / "truth" / "ct", processes=1
    )
    phantom_montage(options.picture, SEED, 0)


if __name__ == "__main__":
    main()
