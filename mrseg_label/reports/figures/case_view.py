"""A figure of a case with its pre-segmentation and its annotation, in the layout of Slicer's slice views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.errors import GeometryError
from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.legend import FAINT, TEXT, draw_legend
from mrseg_label.reports.figures.planes import EDGES, Plane, Section, richest_index, section, to_ras, window

_BACKGROUND = "#1e1f22"
_BARS = {
    Plane.AXIAL: "#f34a33",
    Plane.CORONAL: "#6eb04b",
    Plane.SAGITTAL: "#edd54c",
}  # Slicer's red, green and yellow view
_TITLES = {Plane.AXIAL: "Axial", Plane.CORONAL: "Coronal", Plane.SAGITTAL: "Sagittal"}
_PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)
_FILL = 0.38
_AIR = 0.12  # grey level below which a voxel counts as air, as a share of the window
_DPI = 130


@dataclass(frozen=True)
class CasePicture:
    """What the figure shows.

    Attributes
    ----------
    image : (X, Y, Z) grey values.
    presegmentation, corrected : (X, Y, Z) label ids of the scheme, on the grid of the image.
    geometry : the grid of all three.
    title : names the case.
    draft_from : model version that made the pre-segmentation.
    corrected_by : reader who made the annotation.
    """

    image: NDArray[Any]
    presegmentation: NDArray[np.uint8]
    corrected: NDArray[np.uint8]
    geometry: Geometry
    title: str
    draft_from: str
    corrected_by: str


def case_view(case: CasePicture, scheme: LabelScheme, path: Path, focus: Sequence[int] | None = None) -> None:
    """Draw a case: three planes with the pre-segmentation, the same with the annotation, and the largest structures.

    Parameters
    ----------
    path : file to write, PNG.
    focus : voxel index (X, Y, Z), in the volume's own axes, of the point that all planes cut; by default where
        the annotation shows most.

    Raises
    ------
    GeometryError
        Image, pre-segmentation and annotation are not on one grid.
    """
    for array, what in (
        (case.image, "image"),
        (case.presegmentation, "pre-segmentation"),
        (case.corrected, "annotation"),
    ):
        if array.shape != case.geometry.shape:
            raise GeometryError(
                f"the {what} has the shape {array.shape}, but the grid of the case has {case.geometry.shape}"
            )
    image, geometry = to_ras(case.image, case.geometry)
    presegmentation, _ = to_ras(case.presegmentation, case.geometry)
    corrected, _ = to_ras(case.corrected, case.geometry)
    where = _focus(corrected, case.geometry, focus, len(scheme))
    levels = window(image)

    figure = Figure(figsize=(15.2, 8.6), dpi=_DPI, facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)
    figure.text(0.012, 0.966, case.title, color=TEXT, fontsize=15, fontweight="bold", va="center")
    figure.text(
        0.988,
        0.966,
        "radiological convention: the patient's right is on the left",
        color=FAINT,
        fontsize=9.5,
        va="center",
        ha="right",
    )
    draw_legend(figure, presegmentation, corrected, scheme, geometry.voxel_ml, case.draft_from, case.corrected_by)
    body = body_box(image, corrected, levels)
    shown = [min(max(at - part.start, 0), part.stop - part.start - 1) for at, part in zip(where, body, strict=True)]
    rows = ((presegmentation[body], "draft"), (corrected[body], "annotation"))
    _views(figure, rows, image[body], cropped(geometry, body), shown, levels, scheme)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor=_BACKGROUND)


def _views(
    figure: Figure,
    rows: Sequence[tuple[NDArray[np.uint8], str]],
    image: NDArray[Any],
    geometry: Geometry,
    where: Sequence[int],
    levels: tuple[float, float],
    scheme: LabelScheme,
) -> None:
    widths = [section(image, geometry, plane, where[plane.value]).width_mm for plane in _PLANES]
    heights = [section(image, geometry, plane, where[plane.value]).height_mm for plane in _PLANES]
    for row, (labels, caption) in enumerate(rows):
        top = 0.925 - row * 0.457
        left = 0.262
        for plane, width in zip(_PLANES, _shares(widths, heights), strict=True):
            box = (left, top - 0.443, width * 0.73 - 0.006, 0.443)
            left += width * 0.73
            _slice_view(figure, box, caption, image, labels, geometry, plane, where[plane.value], levels, scheme)


def body_box(
    image: NDArray[Any], corrected: NDArray[np.uint8], levels: tuple[float, float]
) -> tuple[slice, slice, slice]:
    """Find the box around everything that is not air, with a small margin."""
    bright = (image > levels[0] + _AIR * (levels[1] - levels[0])) | (corrected > 0)
    box = []
    for axis, size in enumerate(image.shape):
        line = bright.mean(axis=tuple(other for other in range(3) if other != axis)) > 0.01
        found = np.flatnonzero(line)
        low, high = (int(found[0]), int(found[-1])) if found.size else (0, size - 1)
        margin = max(2, size // 30)
        box.append(slice(max(low - margin, 0), min(high + 1 + margin, size)))
    return box[0], box[1], box[2]


def cropped(geometry: Geometry, box: tuple[slice, slice, slice]) -> Geometry:
    """Return the grid of a box of a grid."""
    start = np.array([*(part.start for part in box), 1.0])
    affine = geometry.affine.copy()
    affine[:, 3] = geometry.affine @ start
    x, y, z = (part.stop - part.start for part in box)
    return Geometry((x, y, z), affine)


def _shares(widths: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Divide the width of a row among its slices by their shapes, none too narrow for its caption."""
    shapes = [min(max(width / height, 0.75), 1.6) for width, height in zip(widths, heights, strict=True)]
    return [shape / sum(shapes) for shape in shapes]


def _focus(
    corrected: NDArray[np.uint8], geometry: Geometry, focus: Sequence[int] | None, structures: int
) -> tuple[int, int, int]:
    if focus is None:
        sagittal, coronal, axial = (richest_index(corrected, plane, structures) for plane in Plane)
        return sagittal, coronal, axial
    marker = np.zeros(geometry.shape, dtype=np.uint8)
    marker[tuple(focus)] = 1
    x, y, z = np.argwhere(to_ras(marker, geometry)[0])[0].tolist()
    return x, y, z


def _slice_view(
    figure: Figure,
    box: tuple[float, float, float, float],
    caption: str,
    image: NDArray[Any],
    labels: NDArray[np.uint8],
    geometry: Geometry,
    plane: Plane,
    index: int,
    levels: tuple[float, float],
    scheme: LabelScheme,
) -> None:
    left, bottom, width, height = box
    bar = 0.024
    figure.add_artist(
        Rectangle((left, bottom + height - bar), width, bar, color=_BARS[plane], transform=figure.transFigure)
    )
    position = geometry.affine[plane.value] @ np.append(_index_vector(plane, index, geometry), 1.0)
    middle = bottom + height - bar / 2
    style: dict[str, Any] = {"va": "center", "color": "#1b1b1b"}
    figure.text(left + 0.006, middle, f"{_TITLES[plane]} · {caption}", fontsize=9, fontweight="bold", **style)
    figure.text(
        left + width - 0.006, middle, f"{'RAS'[plane.value]} {position:+.0f} mm", fontsize=8.5, ha="right", **style
    )
    axes = figure.add_axes((left, bottom, width, height - bar))
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    shown = section(image, geometry, plane, index)
    extent = (0.0, shown.width_mm, shown.height_mm, 0.0)
    axes.imshow(shown.pixels, cmap="gray", vmin=levels[0], vmax=levels[1], extent=extent, interpolation="bicubic")
    draw_overlay(axes, section(labels, geometry, plane, index), scheme)
    _fit(axes, shown, figure, (width, height - bar))
    _label_edges(axes, EDGES[plane])


def _index_vector(plane: Plane, index: int, geometry: Geometry) -> NDArray[np.float64]:
    middle = (np.asarray(geometry.shape, dtype=np.float64) - 1) / 2
    middle[plane.value] = index
    return middle


def draw_overlay(axes: Axes, labels: Section, scheme: LabelScheme) -> None:
    """Draw each structure as a translucent area with an opaque outline, as Slicer shows segments."""
    height, width = labels.pixels.shape
    # A margin of background closes outlines at the edge of the field of view.
    x = (np.arange(-1, width + 1) + 0.5) * labels.width_mm / width
    y = (np.arange(-1, height + 1) + 0.5) * labels.height_mm / height
    padded = np.pad(labels.pixels, 1)
    for structure in scheme:
        mask = padded == structure.id
        if not mask.any():
            continue
        soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.45)
        color = tuple(channel / 255 for channel in structure.color)
        level = min(0.5, 0.5 * float(soft.max()))
        axes.contourf(x, y, soft, levels=[level, 2.0], colors=[color], alpha=_FILL)
        axes.contour(x, y, soft, levels=[level], colors=[_brighter(color)], linewidths=1.1)


def _brighter(color: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(0.75 * channel + 0.25 for channel in color)


def _fit(axes: Axes, shown: Section, figure: Figure, size: tuple[float, float]) -> None:
    """Show the whole slice in true proportions, centred in its view."""
    view_width, view_height = size[0] * figure.get_figwidth(), size[1] * figure.get_figheight()
    # A little more than the slice, so that the letters at the edges stay legible.
    scale = 1.06 * max(shown.width_mm / view_width, shown.height_mm / view_height)
    extra_x = scale * view_width - shown.width_mm
    extra_y = scale * view_height - shown.height_mm
    axes.set_xlim(-extra_x / 2, shown.width_mm + extra_x / 2)
    axes.set_ylim(shown.height_mm + extra_y / 2, -extra_y / 2)


def _label_edges(axes: Axes, edges: tuple[str, str, str, str]) -> None:
    left, right, top, bottom = edges
    style: dict[str, Any] = {"transform": axes.transAxes, "color": "#8fc7ff", "fontsize": 9.5, "fontweight": "bold"}
    axes.text(0.015, 0.5, left, va="center", ha="left", **style)
    axes.text(0.985, 0.5, right, va="center", ha="right", **style)
    axes.text(0.5, 0.985, top, va="top", ha="center", **style)
    axes.text(0.5, 0.015, bottom, va="bottom", ha="center", **style)
