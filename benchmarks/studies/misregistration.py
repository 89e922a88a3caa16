"""How many misregistered channels are found in phantoms, and how often one is suspected that is in place?

    uv run python -m benchmarks.studies.misregistration [--seeds 3] [--participants 12]

The channels of every phantom are compared with its in-phase image: as they are, moved by whole voxels along an axis, and with
the inside of the body moved towards head or feet, as by a breath between the two images. No training.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging import Geometry
from mrseg_label.imaging.registration import Reference
from mrseg_label.simulation.phantom import Participant, paint, render_all

_CHANNELS = ("opp", "fat", "water")
_VOXELS = (1, 2, 3, 4, 6, 10)
_BREATHS_MM = (5.0, 10.0, 15.0, 20.0)


def breathe(image: NDArray[Any], geometry: Geometry, millimetres: float) -> NDArray[Any]:
    """Move the inside of the body towards the head (or, negative, the feet): most at the upper end, not at all at rim and lower end."""
    axis = next(number for number, code in enumerate(geometry.axcodes) if code in "SI")
    upwards = 1 if geometry.axcodes[axis] == "S" else -1
    lit = image > 0.1 * np.percentile(image, 99)
    index = list(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in image.shape), indexing="ij"))
    weight = np.ones(image.shape, dtype=np.float32)
    for number in range(3):
        share = lit.any(axis=tuple(other for other in range(3) if other != number)).nonzero()[0]
        low, high = int(share[0]), int(share[-1])
        place = (index[number] - (low + high) / 2) / max((high - low) / 2, 1)
        weight *= np.clip(0.5 + 0.5 * upwards * place, 0, 1) if number == axis else np.clip(1.6 * (1 - place**2), 0, 1)
    index[axis] = index[axis] - upwards * weight * millimetres / geometry.spacing_mm[axis]
    moved: NDArray[Any] = ndimage.map_coordinates(image.astype(np.float32), index, order=1, mode="nearest")
    return moved.astype(image.dtype)


def main() -> None:
    """Print how many displacements were found, and every false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--participants", type=int, default=12)
    arguments = parser.parse_args()
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    seconds = 0.0
    draw = np.random.default_rng(0)
    for seed in range(arguments.seeds):
        for index in range(arguments.participants):
            for station in ("abdomen", "pelvis"):
                painted = paint(Participant.draw(seed, index), station)
                images = render_all(painted, ("in", *_CHANNELS))
                x, y, z = images["in"].shape
                geometry = Geometry((x, y, z), painted.affine)
                began = time.process_time()
                reference = Reference(images["in"], geometry)
                for name in _CHANNELS:
                    tried["in place"] += 1
                    if alarm := reference.find_displacement(images[name]):
                        found["in place"] += 1
                        print(f"false alarm: seed {seed}, participant {index}, {station}, {name}: {alarm}", flush=True)
                seconds += time.process_time() - began
                for count in _VOXELS:
                    image = images[str(draw.choice(_CHANNELS))]
                    moved = np.roll(image, count * int(draw.choice((-1, 1))), int(draw.integers(3)))
                    tried[f"{count} voxels"] += 1
                    found[f"{count} voxels"] += reference.find_displacement(moved) is not None
                for size in _BREATHS_MM:
                    image = images[str(draw.choice(_CHANNELS))]
                    moved = breathe(image, geometry, size * float(draw.choice((-1, 1))))
                    tried[f"breath of {size:g} mm"] += 1
                    found[f"breath of {size:g} mm"] += reference.find_displacement(moved) is not None
    for what, count in tried.items():
        print(f"{what}: {found[what]} of {count} suspected")
    print(f"{seconds / (tried['in place'] / len(_CHANNELS)):.2f} CPU s for the channels of a scan")


if __name__ == "__main__":
    main()
