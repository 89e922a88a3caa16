"""Figure 1: references and predictions over their images, in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.case_view import body_box, cropped, draw_overlay
from mrseg_label.reports.figures.planes import EDGES, Plane, richest_index, section, to_ras, window
from mrseg_label.reports.study.figures import StudyFigure
from mrseg_label.reports.study.style import INK, WIDTH_INCHES, new_figure, shown, styled, svg_of

_PLANES = (Plane.CORONAL, Plane.SAGITTAL, Plane.AXIAL)
_RASTER = 5  # what lies below becomes one picture; letters above stay letters


@dataclass(frozen=True)
class Example:
    """A case to show.

    Attributes
    ----------
    title : names the case, without anything that identifies a person.
    image : (X, Y, Z) grey values.
    masks : what is drawn in each row, with its caption: (X, Y, Z) label ids on the grid of the image.
    """

    title: str
    image: NDArray[Any]
    geometry: Geometry
    masks: Sequence[tuple[str, NDArray[np.uint8]]]


def overlays(example: Example, scheme: LabelScheme, number: int) -> StudyFigure:
    """Draw a case: a row for each mask, a column for each plane, in the radiological convention, with the colours of the scheme."""
    image, geometry = to_ras(example.image, example.geometry)
    masks = [(caption, to_ras(mask, example.geometry)[0]) for caption, mask in example.masks]
    levels = window(image)
    box = body_box(image, masks[0][1], levels)
    image, geometry = image[box], cropped(geometry, box)
    masks = [(caption, mask[box]) for caption, mask in masks]
    # Where the reference shows most, so that every row has the same slices.
    places = {plane: richest_index(masks[0][1], plane, len(scheme)) for plane in _PLANES}
    cuts = {plane: section(image, geometry, plane, places[plane]) for plane in _PLANES}
    ratios = [cuts[plane].width_mm / cuts[plane].height_mm for plane in _PLANES]
    height = (WIDTH_INCHES - 0.3) / sum(ratios)
    drawn = {
        int(label)
        for _, mask in masks
        for plane in _PLANES
        for label in np.unique(mask.take(places[plane], plane.value))
    }
    present = [one for one in scheme if one.id in drawn]
    columns = 4
    lines = -(-len(present) // columns)
    with styled():
        figure = new_figure(len(masks) * height + 0.35 + 0.155 * lines)
        panels = figure.subplots(len(masks), len(_PLANES), squeeze=False, width_ratios=ratios)
        for row, (caption, mask) in enumerate(masks):
            for column, plane in enumerate(_PLANES):
                axes = panels[row, column]
                cut = cuts[plane]
                axes.imshow(cut.pixels, cmap="gray", vmin=levels[0], vmax=levels[1], extent=(0.0, cut.width_mm, cut.height_mm, 0.0),
                            interpolation="bicubic", zorder=0)  # fmt: skip
                draw_overlay(axes, section(mask, geometry, plane, places[plane]), scheme)
                _frame(axes, plane, caption if column == 0 else "")
        _legend(figure, present, columns)
        svg = svg_of(figure)
    return StudyFigure(
        f"figure-1-example-{number}",
        "Figure 1",
        f"{example.title}: {_listed([caption for caption, _ in masks])} in a coronal, a sagittal and an axial slice. "
        "Radiological convention: the person's right (R) is on the left.",
        svg,
    )


def _listed(captions: Sequence[str]) -> str:
    """List the rows, from above."""
    return f"{', '.join(captions[:-1])} and {captions[-1]} (from above)" if len(captions) > 1 else captions[0]


def _frame(axes: Axes, plane: Plane, caption: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("black")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if caption:
        axes.set_ylabel(caption, fontsize=8, color=INK)
    axes.set_rasterization_zorder(_RASTER)
    left, right, top, bottom = EDGES[plane]
    style: dict[str, Any] = {
        "transform": axes.transAxes,
        "color": "white",
        "fontsize": 7,
        "fontweight": "bold",
        "zorder": _RASTER + 1,
    }
    axes.text(0.02, 0.5, left, va="center", ha="left", **style)
    axes.text(0.98, 0.5, right, va="center", ha="right", **style)
    axes.text(0.5, 0.985, top, va="top", ha="center", **style)
    axes.text(0.5, 0.015, bottom, va="bottom", ha="center", **style)


def _legend(figure: Figure, present: Sequence[Any], columns: int) -> None:
    handles = [
        Patch(facecolor=tuple(channel / 255 for channel in one.color), label=one.display_name or shown(one.name))
        for one in present
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=6.5, handlelength=1.0, handleheight=0.8,
                      columnspacing=1.2, labelspacing=0.25)  # fmt: skip
