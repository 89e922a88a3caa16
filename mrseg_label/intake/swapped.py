"""Fat and water of one scan that came in exchanged: said in the warnings of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

from mrseg_label.errors import MrsegError
from mrseg_label.imaging import load_image
from mrseg_label.intake.prepare import Failed, Prepared

Group = list[Prepared | Failed]
# Id and file of the channel of that sequence that the catalogue has of the scan of an image.
Stored = Callable[[Prepared, str], tuple[str, Path] | None]
_OTHER = {"water": "fat", "fat": "water"}


def with_swaps_named(group: Group, stored: Stored | None = None) -> Group:
    """Say in the fat and water images of a scan where the two look exchanged.

    Parameters
    ----------
    stored : finds the other channel of an image where it came with an earlier import.
    """
    warnings: dict[int, str] = {}
    compared: set[int] = set()
    for (w, water), (f, fat) in product(_channels(group, "water"), _channels(group, "fat")):
        if (fat.source.session, fat.source.station) != (water.source.session, water.source.station):
            continue
        assert fat.file is not None
        assert water.file is not None
        compared |= {w, f}
        parts = _exchanged(fat.file, water.file)
        if parts:
            warnings[w] = warnings[f] = _warning(parts)
    for sequence in _OTHER if stored is not None else ():
        for index, image in _channels(group, sequence):
            other = stored(image, _OTHER[sequence]) if index not in compared and stored is not None else None
            if other is None or image.file is None:
                continue
            files = {sequence: image.file, _OTHER[sequence]: other[1]}
            parts = _exchanged(files["fat"], files["water"])
            if parts:
                warnings[index] = f"{_warning(parts)}; the {_OTHER[sequence]} image is {other[0]}, imported earlier"
    return [
        replace(image, warnings=(*image.warnings, warnings[index]))
        if index in warnings and isinstance(image, Prepared)
        else image
        for index, image in enumerate(group)
    ]


def _warning(parts: list[str]) -> str:
    return f"fat and water look exchanged ({', '.join(parts)}): the rim of the body is bright in the water image"


def _channels(group: Group, sequence: str) -> list[tuple[int, Prepared]]:
    return [
        (index, image)
        for index, image in enumerate(group)
        if isinstance(image, Prepared) and image.file is not None and image.source.sequence == sequence
    ]


def _exchanged(fat: Path, water: Path) -> list[str]:
    try:
        by_fat, geometry, _ = load_image(fat)
        by_water, grid, _ = load_image(water)
    except MrsegError:
        return []  # it was read a moment ago; what is wrong with it is found where it matters
    from mrseg_label.imaging.swaps import swapped_parts  # SciPy behind it: not in every server that starts

    return swapped_parts(by_fat, by_water, geometry) if geometry.matches(grid) else []
