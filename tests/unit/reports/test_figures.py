"""Figures show the right sides, orientation and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging import Geometry, reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.case_view import CasePicture, case_view
from mrseg_label.reports.figures.learning_curve import CurvePoint, curve
from mrseg_label.reports.figures.legend import legend_rows
from mrseg_label.reports.figures.planes import Plane, richest_index, section, to_ras, window

SCHEME = LabelScheme.parse("id\tname\tcolor\n1\tliver\t#ff0000\n2\tspleen\t#00ff00\n3\tbladder\t#0000ff\n")
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def phantom() -> tuple[NDArray[np.uint8], Geometry]:
    """RAS: liver on the right, spleen on the left and behind, bladder at the bottom in front."""
    labels = np.zeros((40, 30, 20), dtype=np.uint8)
    labels[24:38, 8:22, 8:16] = 1
    labels[4:12, 3:10, 8:16] = 2
    labels[16:24, 20:27, 1:5] = 3
    return labels, Geometry((40, 30, 20), AFFINE)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SAR", "PIL"])
def test_right_is_on_the_left_and_up_is_up_whatever_the_order_of_the_file(axcodes: str) -> None:
    stored, stored_geometry = reorient(*phantom(), axcodes)
    labels, geometry = to_ras(stored, stored_geometry)
    axial = section(labels, geometry, Plane.AXIAL, 10)
    assert axial.pixels.shape == (30, 40)
    assert (axial.width_mm, axial.height_mm) == (80, 90)
    rows, columns = np.nonzero(axial.pixels == 1)
    assert columns.max() < 20  # liver: viewer's left
    rows, columns = np.nonzero(axial.pixels == 2)
    assert columns.min() > 20  # spleen: viewer's right,
    assert rows.min() > 15  # and behind, which is below
    coronal = section(labels, geometry, Plane.CORONAL, 22)
    rows, columns = np.nonzero(coronal.pixels == 3)
    assert rows.min() > 12  # bladder: at the bottom
    sagittal = section(labels, geometry, Plane.SAGITTAL, 20)
    rows, columns = np.nonzero(sagittal.pixels == 3)
    assert columns.max() < 15  # in front, which is left
    assert rows.min() > 12


def test_the_richest_slice_prefers_many_structures() -> None:
    labels = np.zeros((30, 40, 20), dtype=np.uint8)
    labels[:20, :30, 18] = 1  # 600 voxels of one structure
    labels[:10, :25, 7], labels[10:20, :25, 7], labels[20:, :25, 7] = 1, 2, 3  # 250 voxels of three
    assert richest_index(labels, Plane.AXIAL, 3) == 7


def test_the_window_ignores_empty_background() -> None:
    image = np.zeros((10, 10, 10), dtype=np.int16)
    image[:2] = np.arange(1, 201, dtype=np.int16).reshape(2, 10, 10)
    black, white = window(image)
    assert 1 <= black < 10
    assert 190 < white <= 200


def test_a_case_is_drawn_in_the_colours_of_the_scheme(tmp_path: Path) -> None:
    labels, geometry = phantom()
    presegmentation = np.where(labels == 2, 0, labels).astype(np.uint8)
    image = np.where(labels > 0, 300, 250).astype(np.int16)
    path = tmp_path / "folder" / "case.png"
    case_view(
        CasePicture(image, presegmentation, labels, geometry, "case", "model", "reader"),
        SCHEME,
        path,
        focus=(20, 8, 10),
    )
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert pixels.shape[0] > 800
    assert pixels.shape[1] > 1500
    views = pixels[:, int(0.26 * pixels.shape[1]) :]
    half = views.shape[0] // 2
    greenish = (views[..., 1] > views[..., 0] + 60) & (views[..., 1] > views[..., 2] + 60)
    bar = np.abs(views - np.array([0x6E, 0xB0, 0x4B])).sum(axis=-1) < 12  # the green bar of the coronal view
    green = greenish & ~bar
    assert green[half:].sum() > 500  # the annotation has the spleen,
    assert green[:half].sum() < 0.1 * green[half:].sum()  # the pre-segmentation has not
    reddish = (views[..., 0] > views[..., 1] + 60) & (views[..., 0] > views[..., 2] + 60)
    axial = reddish[int(0.15 * views.shape[0]) : half, : views.shape[1] // 3]
    assert (
        axial[:, : axial.shape[1] // 2].sum() > 2 * axial[:, axial.shape[1] // 2 :].sum()
    )  # the liver is on the viewer's left


def test_arrays_of_another_grid_are_refused(tmp_path: Path) -> None:
    labels, geometry = phantom()
    with pytest.raises(GeometryError, match="the pre-segmentation has the shape"):
        case_view(CasePicture(labels, labels[1:], labels, geometry, "", "", ""), SCHEME, tmp_path / "x.png")


def test_a_case_without_any_label_can_be_drawn(tmp_path: Path) -> None:
    labels, geometry = phantom()
    empty = np.zeros_like(labels)
    case_view(CasePicture(labels, empty, empty, geometry, "empty", "m", "r"), SCHEME, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("present", "shown", "left_out"), [(0, 0, 0), (1, 1, 0), (16, 16, 0), (17, 15, 2), (37, 15, 22)]
)
def test_the_legend_says_how_many_structures_it_leaves_out(present: int, shown: int, left_out: int) -> None:
    volumes = np.zeros(40)
    volumes[:present] = np.arange(1, present + 1)
    rows, more = legend_rows(volumes)
    assert (len(rows), more) == (shown, left_out)
    assert rows == list(range(present))[::-1][:shown]  # the largest first


def test_a_case_of_more_structures_than_the_legend_has_rows_is_drawn(tmp_path: Path) -> None:
    labels = np.zeros((40, 30, 20), dtype=np.uint8)
    labels[:, :, :10] = np.arange(1, 41, dtype=np.uint8)[:, None, None]
    geometry = Geometry((40, 30, 20), AFFINE)
    case_view(
        CasePicture(labels, labels, labels, geometry, "many", "m", "r"), LabelScheme.default(), tmp_path / "x.png"
    )
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    points = [
        CurvePoint(0, "bootstrap", 8, 0.2, 0.2, 1000.0, heldout_cases=6),
        CurvePoint(1, "r1", 8, 0.5, None, 400.0, promoted=False),
        CurvePoint(2, "r2", 8, 0.6, 0.6, 0.0),
    ]
    curve(points, tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").width > 1000
    curve(points[:1], tmp_path / "one.png")
    assert (tmp_path / "one.png").is_file()


def test_a_curve_without_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        curve([], tmp_path / "curve.png")
