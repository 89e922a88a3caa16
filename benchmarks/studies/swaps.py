"""How many fat-water swaps are found in phantoms, and how often one is suspected where there is none?

    uv run python -m benchmarks.studies.swaps [--seeds 3] [--participants 12]

Fat and water of every phantom are compared as they are, with all of it exchanged, with each half exchanged, and with slabs
exchanged: the outer third at each end of each axis, and the middle fifth. No training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.imaging.swaps import swapped_parts
from mrseg_label.simulation.phantom import Participant, paint, render_all

_WHOLE = "whole image"


def halves(geometry: Geometry) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each half of the grid along each axis, with the direction that it lies in."""
    for axis, code in enumerate(geometry.axcodes):
        index = np.arange(geometry.shape[axis]).reshape([-1 if n == axis else 1 for n in range(3)])
        upper = np.broadcast_to(index >= geometry.shape[axis] // 2, geometry.shape)
        yield f"towards {code}", upper
        yield f"away from {code}", ~upper


def slabs(geometry: Geometry) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield slabs of the grid along each axis, with their share of it."""
    for axis, code in enumerate(geometry.axcodes):
        index = (
            np.arange(geometry.shape[axis]).reshape([-1 if n == axis else 1 for n in range(3)]) / geometry.shape[axis]
        )
        for low, high in ((0.0, 0.35), (0.4, 0.6), (0.65, 1.0)):
            yield (
                f"{low:g} to {high:g} towards {code}",
                np.broadcast_to((index >= low) & (index < high), geometry.shape),
            )


def main() -> None:
    """Print how many swaps were found, and every false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--participants", type=int, default=12)
    arguments = parser.parse_args()
    stations = false = whole = half = tried = slab = slabs_tried = 0
    for seed in range(arguments.seeds):
        for index in range(arguments.participants):
            for station in ("abdomen", "pelvis"):
                painted = paint(Participant.draw(seed, index), station)
                images = render_all(painted, ("water", "fat"))
                water, fat = images["water"], images["fat"]
                x, y, z = water.shape
                geometry = Geometry((x, y, z), painted.affine)
                stations += 1
                if found := swapped_parts(fat, water, geometry):
                    false += 1
                    print(f"false alarm: seed {seed}, participant {index}, {station}: {found}", flush=True)
                whole += swapped_parts(water, fat, geometry) == [_WHOLE]
                for name, part in halves(geometry):
                    tried += 1
                    if swapped_parts(np.where(part, water, fat), np.where(part, fat, water), geometry):
                        half += 1
                    else:
                        print(f"missed: seed {seed}, participant {index}, {station}, half {name}", flush=True)
                for name, part in slabs(geometry):
                    slabs_tried += 1
                    if swapped_parts(np.where(part, water, fat), np.where(part, fat, water), geometry):
                        slab += 1
                    else:
                        print(f"missed: seed {seed}, participant {index}, {station}, slab {name}", flush=True)
    print(
        f"{stations} stations: {false} false alarms; {whole} whole swaps and {half} of {tried} halves and {slab} of {slabs_tried} slabs found"
    )


if __name__ == "__main__":
    main()
