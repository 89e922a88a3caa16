"""One slice as a PNG, in the radiological convention, with a letter at each edge for the direction that lies there."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mrseg_label.colors import Color
from mrseg_label.reports.figures.planes import EDGES, Section

MARGIN = 26  # pixels around the slice, where the letters are
SIDE = 640  # pixels of the longer side of a slice
_LETTERS: Color = (143, 199, 255)
_FILL = 0.4
_OUTLINE = 0.95


def slice_picture(
    grey: Section,
    levels: tuple[float, float],
    labels: Section | None,
    colors: Mapping[int, Color],
    *,
    side: int = SIDE,
    opacity: float = _FILL,
) -> bytes:
    """Draw a slice with a mask over it.

    Parameters
    ----------
    grey : slice of the image.
    levels : the grey values that are shown as black and as white.
    labels : the same slice of a mask. Voxels are enlarged and never interpolated.
    colors : colour of each label id. An id without a colour is drawn in white, so that it cannot pass for a structure.
    side : length of the longer side of the slice in pixels; distances are true in both directions.
    opacity : of the areas of structures, from 0 to 1; their outlines are opaque.

    Returns
    -------
    The PNG.
    """
    size = _size(grey, side)
    black, white = levels
    shades = np.clip((grey.pixels.astype(np.float32) - black) * (255 / (white - black)), 0, 255).astype(np.uint8)
    picture = np.array(Image.fromarray(shades).resize(size, Image.Resampling.BILINEAR).convert("RGB"), dtype=np.float32)
    if labels is not None:
        ids = labels.pixels.astype(np.uint8)
        enlarged = np.array(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))
        _overlay(picture, enlarged, colors, opacity)
    framed = Image.new("RGB", (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    framed.paste(Image.fromarray(np.rint(picture).astype(np.uint8)), (MARGIN, MARGIN))
    _write_letters(framed, EDGES[grey.plane])
    stream = io.BytesIO()
    framed.save(stream, "PNG")
    return stream.getvalue()


def _size(shown: Section, side: int) -> tuple[int, int]:
    scale = side / max(shown.width_mm, shown.height_mm)
    return max(1, round(shown.width_mm * scale)), max(1, round(shown.height_mm * scale))


def _overlay(picture: NDArray[np.float32], ids: NDArray[np.uint8], colors: Mapping[int, Color], opacity: float) -> None:
    table = np.full((256, 3), 255, dtype=np.float32)
    for label, color in colors.items():
        table[label] = color
    border = np.zeros(ids.shape, dtype=bool)
    border[1:] |= ids[1:] != ids[:-1]
    border[:-1] |= ids[:-1] != ids[1:]
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    strength = np.where(border, max(opacity, _OUTLINE) if opacity > 0 else 0.0, opacity) * (ids > 0)
    picture += (table[ids] - picture) * strength[..., None].astype(np.float32)


def _write_letters(framed: Image.Image, edges: tuple[str, str, str, str]) -> None:
    left, right, top, bottom = edges
    draw, font = ImageDraw.Draw(framed), ImageFont.load_default(20)
    width, height = framed.size
    for letter, place in (
        (left, (MARGIN / 2, height / 2)),
        (right, (width - MARGIN / 2, height / 2)),
        (top, (width / 2, MARGIN / 2)),
        (bottom, (width / 2, height - MARGIN / 2)),
    ):
        draw.text(place, letter, fill=_LETTERS, font=font, anchor="mm")
