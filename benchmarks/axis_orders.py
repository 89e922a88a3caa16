"""Is a draft the same, voxel for voxel, however the axes of the image's file are stored?

    uv run python -m benchmarks.axis_orders [--quick] [--inputs] [--sources total_fast:inverted mrsegmentator:raw]

One participant, oblique, with voxels of 2 to 8 mm, is stored with several numbers of voxels in all 48 orders and directions
of the axes, and segmented by every source: all published networks with each of their preparations, and models that were
trained in SAR and in RAS, as tiny networks with random weights in the published layouts. Then each mask is cleaned up. All
masks are compared in the world. This is not a benchmark of speed. ``--quick`` takes the small image in four orders.

``--inputs`` puts a stand-in in the place of the networks alone, and compares what each of them is given, bit by bit, and the way of
a mask back to the file: what a network makes of the same input is the same, so that this holds for all networks, in minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.recorded_inputs import no_network
from mrseg_label.imaging import Geometry, load_image, reorient_like, write_nifti
from mrseg_label.imaging.clean_up import clean_up
from mrseg_label.segments.anatomy import anatomy_of
from tests.support.axis_orders import AXIS_ORDERS, as_stored

Mask = NDArray[np.uint8]
SIZES = {60_000: (44, 40, 35), 200_000: (70, 64, 45), 2_000_000: (160, 139, 90), 8_000_000: (256, 222, 141)}
SEGMENTED = (200_000, 2_000_000)
SPACING_MM = (2.0, 3.1, 8.0)
_SAMPLE = ("RAS", "LPS", "SPR", "AIL")
_TILT = np.deg2rad([11.0, -7.0])


def participant(shape: tuple[int, int, int]) -> tuple[NDArray[np.int16], Geometry]:
    """A body of smooth random tissue that is unlike its mirror images, tilted about two axes."""
    rng = np.random.default_rng(4)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = (x + 0.1) ** 2 + (y - 0.05) ** 2 < 0.7 + 0.2 * z
    tissue = ndimage.gaussian_filter(rng.normal(size=shape), np.array(shape) / 25)
    signal = body * (500 + 250 * tissue / tissue.std() + 90 * x + 60 * z) + rng.normal(0, 8, shape)
    signal[(((x - 0.3) / 0.3) ** 2 + (y / 0.4) ** 2 < 1) & (z > 0)] *= 0.04
    (a, b), affine = _TILT, np.eye(4)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine[:3, :3] = about_z @ about_x * SPACING_MM
    affine[:3, 3] = (-151.3, -203.9, -322.7)
    return np.abs(signal).astype(np.int16), Geometry(shape, affine.astype(np.float32))


def differing(
    segment: Callable[[Path], Mask],
    image: tuple[NDArray[Any], Geometry],
    orders: Sequence[str],
    folder: Path,
) -> tuple[Mask, Iterator[tuple[str, int]]]:
    """Segment an image in several orders of its axes.

    Parameters
    ----------
    segment : makes a mask (X, Y, Z) on the grid of an image file.

    Returns
    -------
    mask : of the image in the first order, on the grid of ``image``.
    differences : of each other order, the number of voxels that differ from it in the world.
    """

    def masks() -> Iterator[Mask]:
        for array, grid in as_stored(image, orders):
            write_nifti(folder / "image.nii", array, grid)
            yield reorient_like(segment(folder / "image.nii"), grid, image[1])

    found = masks()
    first = next(found).copy()
    return first, ((order, int(np.count_nonzero(mask != first))) for order, mask in zip(orders[1:], found, strict=True))


def compare_inputs(
    segment: Callable[[Path], Mask], image: tuple[NDArray[Any], Geometry], orders: Sequence[str], folder: Path
) -> tuple[Mask, int, dict[str, int]]:
    """Compare what a network is given for an image in several orders of its axes, and the way of its mask back.

    Returns
    -------
    mask : of the image in the first order, on the grid of ``image``.
    inputs : how many different ones the network was given.
    worst : of each order whose mask differs in the world from that of the first, the number of differing voxels.
    """
    seen: list[str] = []
    with no_network(seen):
        mask, differences = differing(segment, image, orders, folder)
        worst = {order: count for order, count in differences if count}
    assert len(seen) == len(orders), "a network was not given one image for each file"
    return mask, len(set(seen)), worst


def main(arguments: Sequence[str] | None = None) -> None:
    """Segment everything, print one line for each source and size, and fail if any voxel differs."""
    from mrseg_label.presegmentation.loaded_networks import LoadedNetworks
    from mrseg_label.presegmentation.sources import Source
    from tests.support.published_weights import workspace_with_every_source

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inputs", action="store_true", help="compare what the networks are given; runs none of them")
    parser.add_argument("--sources", nargs="*", help="only these; by default every one")
    parser.add_argument("--voxels", nargs="*", type=int, choices=list(SIZES), help="about so many")
    parsed = parser.parse_args(arguments)
    orders = _SAMPLE if parsed.quick else AXIS_ORDERS
    sizes = parsed.voxels or (list(SIZES) if parsed.inputs else SEGMENTED)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace, every = workspace_with_every_source(folder)
        networks, anatomy = LoadedNetworks(workspace, "cpu"), anatomy_of(workspace.scheme)
        sources = [Source.parse(text) for text in parsed.sources] if parsed.sources else every
        if parsed.inputs:
            print("| source | voxels | orders | different inputs | differing voxels of the mask |")
            print("| --- | --- | --- | --- | --- |", flush=True)
        else:
            print("| source | voxels | orders | voxels in structures | after clean-up | differing |")
            print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for voxels in sizes[:1] if parsed.quick else sizes:
            image = participant(SIZES[voxels])
            for source in sources:
                if parsed.inputs:
                    mask, inputs, worst = compare_inputs(
                        lambda path, source=source: networks.segment(source, path, "in").label_map,  # type: ignore[misc]
                        image,
                        orders,
                        folder,
                    )
                    failed += inputs - 1 + len(worst)
                    print(f"| `{source}` | {mask.size:,} | {len(orders)} | {inputs} | {worst or 0} |", flush=True)
                    continue
                cleaned: list[Mask] = []

                def segment(
                    path: Path,
                    source: Source = source,
                    grid_of_first: Geometry = image[1],
                    cleaned: list[Mask] = cleaned,
                ) -> Mask:
                    mask = networks.segment(source, path, "in").label_map
                    array, grid, _ = load_image(path)
                    after = clean_up(mask, grid, anatomy, array).label_map
                    cleaned.append(reorient_like(after, grid, grid_of_first).copy())
                    return mask

                started = time.monotonic()
                mask, differences = differing(segment, image, orders, folder)
                worst = {order: count for order, count in differences if count}
                worst |= {
                    f"{order}, cleaned up": count
                    for order, one in zip(orders, cleaned, strict=True)
                    if (count := int(np.count_nonzero(one != cleaned[0])))
                }
                failed += len(worst)
                print(
                    f"| `{source}` | {mask.size:,} | {len(orders)} | {np.count_nonzero(mask):,} | "
                    f"{np.count_nonzero(cleaned[0]):,} | {worst or 0} |",
                    flush=True,
                )
                print(f"{source}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if failed:
        raise SystemExit(f"{failed} masks or inputs differ")


if __name__ == "__main__":
    main()
