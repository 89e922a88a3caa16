"""Draw the phantom: a column for each contrast and for the label map, in coronal and axial planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.planes import EDGES, Plane
from mrseg_label.simulation.phantom.grid import ct_grid
from mrseg_label.simulation.phantom.painting import paint
from mrseg_label.simulation.phantom.participant import Participant
from mrseg_label.simulation.phantom.rendering import SEQUENCES, render_all

_GAP = 6
_HEAD = 16
_LETTERS = "#8fc7ff"
_GREYS = 40  # noise hardly compresses; fewer grey levels halve the file without a visible difference


def plane(volume: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Extract a plane of a volume (X, Y, Z) in RAS order in radiological view, the right side on the left."""
    flat = np.take(volume, index, axis=axis)
    turned: NDArray[Any] = flat.T[::-1, ::-1]
    return turned


def draw_montage(
    columns: Mapping[str, NDArray[Any]],
    structures: NDArray[np.uint8],
    cuts: Sequence[tuple[int, int]],
    path: Path,
) -> None:
    """Draw volumes (X, Y, Z) in RAS order, of equal shape and with cubic voxels, to a PNG file.

    Parameters
    ----------
    columns : volume by title; ``ct`` is windowed in HU, the others to their 99.5th percentile.
    structures : (X, Y, Z) label map in the ids of the default scheme.
    cuts : (axis, index) of each row.
    """
    scheme = LabelScheme.default()
    colors = np.zeros((256, 3), np.uint8)
    for structure in scheme:
        colors[structure.id] = structure.color
    rows = []
    for axis, index in cuts:
        tiles = []
        for title, volume in columns.items():
            low, high = (-200.0, 400.0) if title == "ct" else (0.0, max(float(np.percentile(volume, 99.5)), 1.0))
            grey = np.clip((plane(volume, axis, index).astype(float) - low) / (high - low), 0, 1)
            tiles.append(np.repeat((np.rint(grey * _GREYS) * (255 / _GREYS)).astype(np.uint8)[..., None], 3, axis=2))
        tiles.append(colors[plane(structures, axis, index).astype(np.uint8)])
        rows.append(tiles)
    width = rows[0][0].shape[1]
    total_height = _HEAD + sum(row[0].shape[0] + _GAP for row in rows)
    picture = Image.new("RGB", ((width + _GAP) * len(rows[0]), total_height), "white")
    draw = ImageDraw.Draw(picture)
    for k, title in enumerate([*columns, "labels"]):
        draw.text((k * (width + _GAP) + 2, 2), title, fill="black")
    top = _HEAD
    for row, (axis, _) in zip(rows, cuts, strict=True):
        for k, tile in enumerate(row):
            shown = Image.fromarray(np.ascontiguousarray(tile))
            _label_edges(ImageDraw.Draw(shown), shown.size, EDGES[Plane(axis)])
            picture.paste(shown, (k * (width + _GAP), top))
        top += row[0].shape[0] + _GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("P", palette=Image.Palette.ADAPTIVE).save(path, optimize=True)


def _label_edges(draw: ImageDraw.ImageDraw, size: tuple[int, int], edges: tuple[str, str, str, str]) -> None:
    """Write the direction at the left, right, top and bottom edge of a tile."""
    width, height = size
    places = ((1, height / 2, "lm"), (width - 1, height / 2, "rm"), (width / 2, 1, "ma"), (width / 2, height - 1, "md"))
    for letter, (x, y, anchor) in zip(edges, places, strict=True):
        draw.text((x, y), letter, fill=_LETTERS, anchor=anchor, stroke_width=1, stroke_fill="black")


def phantom_montage(
    path: Path, seed: int = 1, index: int = 0, sequences: Sequence[str] = ("ct", *SEQUENCES[:-1])
) -> None:
    """Draw one participant's trunk in every contrast at 3 mm."""
    participant = Participant.draw(seed, index)
    grid = ct_grid(participant, "trunk")
    painted = paint(participant, "trunk", grid)
    volumes = render_all(painted, sequences)

    def at(axis: int, millimetre: float) -> tuple[int, int]:
        return axis, round((millimetre - float(grid.affine[axis, 3])) / 3.0)

    heights = [200 + (z - 200) * participant.scale[2] for z in (318, 215, 108)]
    cuts = [at(1, 4.0), *(at(2, z) for z in heights)]
    draw_montage(volumes, painted.structures, cuts, path)
