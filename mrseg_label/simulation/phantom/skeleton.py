"""Paint spine, pelvis, thighs, and the muscles that TotalSegmentator labels. Lengths are mm in the nominal body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.canvas import ANYWHERE, WALL, Canvas
from mrseg_label.simulation.phantom.shapes import Column, Shape, ellipsoid, frame, lookup, tube
from mrseg_label.simulation.phantom.tissue import Tissue

# Heights of the discs from L5/S1 upwards; between two discs is one vertebra: class ids L5 = 27 up to T3 = 41.
DISCS = np.array([190, 224, 257.5, 290, 321.5, 351.5, 379.5, 406, 431.5, 456, 479.5, 502, 523.5, 544, 563, 580.0])
FIRST_VERTEBRA, SACRUM, S1 = 27, 25, 26
_SPINE_Z = np.array([150, 190, 210, 240, 270, 300, 340, 400, 450, 500, 550, 580.0])
_SPINE_Y = np.array([-70, -50, -42, -36, -34, -37, -44, -56, -63, -62, -52, -44.0])

Point = NDArray[np.float64]


def spine_y(z: float) -> float:
    """Interpolate y of the centre of the vertebral bodies at height z."""
    return float(np.interp(z, _SPINE_Z, _SPINE_Y))


def paint_spine(canvas: Canvas) -> None:
    """Paint vertebrae with arches, discs, spinal canal, spinal cord and sacrum."""
    heights = np.array([190, 250, 320, 400, 480, 575.0])
    middle = np.interp(heights, _SPINE_Z, _SPINE_Y)
    width = np.array([25, 24, 22, 18, 15, 12.5])
    depth = np.array([17.5, 17, 16.5, 15.5, 13.5, 11])
    body = Column(heights, np.stack([0 * heights, middle], 1), np.stack([width, depth], 1))
    reach = Column(heights, np.stack([0 * heights, middle - 24], 1), np.stack([44 + 0 * heights, 52 + 0 * heights], 1))
    box = canvas.box(*reach.bounds())
    if box is not None:
        _paint_vertebrae(canvas, box, body)
    _paint_sacrum(canvas)


def _paint_vertebrae(canvas: Canvas, box: tuple[slice, slice, slice], body: Column) -> None:
    x, y, z = canvas.x[box], canvas.y[box], canvas.z[box]
    tissue, ids = canvas.tissue[box], canvas.ids[box]
    edge = body.distance(x, y, z)
    level = np.clip(np.searchsorted(DISCS, z.ravel(), side="right").reshape(z.shape) - 1, 0, len(DISCS) - 2)
    low, high = DISCS[level].astype(np.float32), DISCS[level + 1].astype(np.float32)
    share = (z - low) / (high - low)
    gap = np.minimum(z - low, high - z)  # distance to the middle of the nearest disc
    in_spine = (z > DISCS[0]) & (z < DISCS[-1])
    disc_half = 4.2 - 1.6 * np.clip((z - 300) / 150, 0, 1)
    column = lookup(_SPINE_Z, _SPINE_Y, z)
    back = y - (column - lookup([190, 400, 575], [27, 24, 19], z))  # relative to the middle of the canal
    side = np.abs(x)
    canal = np.hypot(x / 1.25, back)
    neural = canal < 8
    lamina = (canal < 12.5) & (share > 0.2) & (share < 0.85) & (back < 5)
    spinous = (side < 3.4) & (back < -9) & (back > -30) & (share + back * 0.008 > 0.05) & (share + back * 0.008 < 0.5)
    transverse = (side < 36) & (np.abs(back + 1) < 5) & (np.abs(share - 0.55) < 0.2) & ~neural
    pedicle = (side > 8) & (side < 15) & (np.abs(share - 0.68) < 0.17) & (back > -2) & (edge < 14) & (back < 12)
    bone = ((edge < 0) & (gap > disc_half)) | ((lamina | spinous | transverse | pedicle) & ~neural)
    bone &= in_spine & (tissue != Tissue.AIR)
    disc = in_spine & (edge < 0) & (gap <= disc_half) & (tissue != Tissue.AIR)
    tissue[disc], ids[disc] = Tissue.DISC, 0
    tissue[bone] = Tissue.SPINE_MARROW
    cortex = bone & (
        ((edge > -2.2) & (edge < 0)) | ((edge < 0) & (gap < disc_half + 2.0)) | ((edge >= 0) & (lamina | spinous))
    )
    tissue[cortex] = Tissue.CORTICAL_BONE
    ids[bone] = (FIRST_VERTEBRA + level[bone]).astype(np.uint8)
    free = in_spine & neural & ~bone & (tissue != Tissue.AIR)
    tissue[free], ids[free] = Tissue.CSF, 0
    cord = free & (canal < 4.5) & (z > 330)
    tissue[cord], ids[cord] = Tissue.CORD, 79
    canvas.tissue[box], canvas.ids[box] = tissue, ids


def _paint_sacrum(canvas: Canvas) -> None:
    heights = np.array([78, 92, 108, 125, 145, 165, 188.0])
    centers = np.stack([0 * heights, np.array([-78, -90, -95, -92, -84, -72, -58])], 1)
    semi = np.stack([np.array([5, 9, 17, 29, 40, 47, 48.0]), np.array([5, 6, 8, 10, 12, 16, 18.0])], 1)
    column = Column(heights, centers, semi)
    canvas.paint(column, Tissue.SPINE_MARROW, SACRUM, over=ANYWHERE, shell=(2.5, Tissue.CORTICAL_BONE))
    # S1 has a separate class in TotalSegmentator.
    box = canvas.box(*column.bounds())
    if box is not None:
        ids = canvas.ids[box]
        ids[(ids == SACRUM) & (canvas.z[box] > 164)] = S1
        canvas.ids[box] = ids
    canal = tube([(0, -76, 186), (0, -88, 160), (0, -97, 130)], [7, 5, 3])
    canvas.recolour(canal, Tissue.CSF, (SACRUM, S1))


def _wing_axes(s: float) -> NDArray[np.float64]:
    """Compute the axes of the iliac wing: along the crest from back to front, outwards, upwards (flared)."""
    along = np.array([0.62 * s, 0.78, 0.0])
    outward = np.array([0.78 * s, -0.62, 0.0])
    upward = np.array([0, 0, 1.0]) + 0.32 * outward
    axes = frame(along.tolist(), upward.tolist())
    if axes[:, 1] @ outward < 0:
        axes[:, 1] *= -1
    return axes


def paint_pelvis(canvas: Canvas, side: str) -> None:
    """Paint hip bone, femur and the muscles around them on one side."""
    s = 1.0 if side == "right" else -1.0
    k = 1 if side == "right" else 0
    participant = canvas.participant
    wide = 1.03 if participant.sex == "F" else 1.0
    shift = participant.shift(f"pelvis_{side}", 1.5) * (1, 1, 0.7)

    def fix(x: float, y: float, z: float) -> Point:
        """Convert a place on the right side of the nominal body to this side of this participant."""
        place: Point = np.array([x * s * wide, y, z]) + shift
        return place

    def line(*points: tuple[float, float, float]) -> list[Point]:
        return [fix(*point) for point in points]

    head = fix(89, 8, 107)
    femur: list[Shape] = [
        ellipsoid(head, (23, 23, 23)),
        tube(line((89, 8, 107), (112, 0, 96), (128, -6, 86)), [15, 13, 15]),
        tube(line((132, -8, 100), (131, -7, 80)), [11, 14]),
        tube(line((130, -6, 84), (122, -2, 50), (112, 4, 0), (104, 6, -50)), [15, 13.5, 13, 13]),
        tube(line((114, -10, 56), (120, -4, 52)), [8, 10]),
    ]
    canvas.paint(femur, Tissue.LIMB_MARROW, 75 + k, over=ANYWHERE, shell=(3.4, Tissue.CORTICAL_BONE))
    canvas.recolour(ellipsoid(head, (20.5, 20.5, 20.5)), Tissue.LIMB_MARROW, (75 + k,))
    wing = _wing_axes(s)
    center = fix(86, -14, 170)
    hip: list[Shape] = [
        ellipsoid(center, (60, 6.5, 47), wing),
        tube(line((54, -56, 165), (62, -44, 142), (72, -24, 125)), [9, 10, 13]),
        tube(line((108, 22, 165), (100, 20, 140), (90, 14, 124)), [6, 9, 14]),
        ellipsoid(head + fix(-5, -2, 2) - fix(0, 0, 0), (31, 31, 31)),
        tube(line((84, -14, 96), (72, -32, 66), (62, -30, 54)), [13, 12, 11]),
        tube(line((60, -24, 54), (36, 16, 66), (20, 38, 80)), [8, 6, 8]),
        tube(line((72, 28, 112), (44, 46, 98), (14, 48, 88)), [10, 8, 9]),
        tube(line((12, 44, 92), (12, 38, 76)), [9, 8]),
    ]
    # The joint is open downwards and outwards, so the socket is cut there.
    socket = [t for t in Tissue if t not in (Tissue.AIR, Tissue.LIMB_MARROW, Tissue.SPINE_MARROW)]
    painted = canvas.paint(hip, Tissue.SPINE_MARROW, 77 + k, over=socket, shell=(2.6, Tissue.CORTICAL_BONE))
    if painted is not None:
        open_joint = painted & ((canvas.x - head[0]) * s * 0.8 - (canvas.z - head[2]) * 0.6 > 13) & (canvas.z < 130)
        open_joint &= canvas.ids == 77 + k
        canvas.tissue[open_joint] = Tissue.MUSCLE
        canvas.ids[open_joint] = 0
    _paint_muscles(canvas, side, k, center, wing, fix)


def _paint_muscles(
    canvas: Canvas,
    side: str,
    k: int,
    center: NDArray[np.float64],
    wing: NDArray[np.float64],
    fix: Callable[[float, float, float], Point],
) -> None:
    participant = canvas.participant
    bulk = (1.06 if participant.sex == "M" else 0.97) * (1.08 - 0.0016 * participant.age)
    out, up, along = wing[:, 1], wing[:, 2], wing[:, 0]

    def line(*points: tuple[float, float, float]) -> list[Point]:
        return [fix(*point) for point in points]

    m = Tissue.LABELLED_MUSCLE
    minimus: list[Shape] = [
        ellipsoid(center + 13 * out - 17 * up + 6 * along, (36 * bulk, 9 * bulk, 32), wing),
        tube([center + 14 * out - 40 * up + 12 * along, fix(126, 6, 112)], [9, 6]),
    ]
    canvas.paint(minimus, m, 84 + k, over=WALL, fat_around=2.5)
    medius: list[Shape] = [
        ellipsoid(center + 25 * out + 2 * along - 2 * up, (50, 15 * bulk, 46), wing),
        tube([center + 27 * out - 34 * up, fix(138, -6, 104)], [14 * bulk, 7]),
    ]
    canvas.paint(medius, m, 82 + k, over=WALL, fat_around=2.5)
    lateral = frame([0.75 * (1 if side == "right" else -1), 0.35, -0.55], [0.1, 0.85, 0.5])
    maximus = ellipsoid(fix(76, -82, 106), (66, 56 * bulk, 24 * bulk), lateral)
    canvas.paint(maximus, m, 80 + k, over=WALL, fat_around=2.5)
    psoas: list[Shape] = [
        tube(
            line((29, -40, 338), (36, -38, 292), (45, -30, 247), (56, -14, 205), (68, 8, 165), (80, 30, 134), (84, 44, 114), (98, 28, 85), (108, 4, 58)),
            np.array([7, 13, 17, 19, 19, 17, 14, 12, 8]) * np.sqrt(bulk),
            step=14,
        ),
        ellipsoid(center - 14 * out + 2 * along, (48, 10 * bulk, 43), wing),
    ]  # fmt: skip
    canvas.paint(psoas, m, 88 + k, over=WALL, fat_around=2.0)
    heights = np.array([128, 150, 175, 200, 250, 300, 350, 420, 500, 562.0])
    s = 1 if side == "right" else -1
    xs = np.array([14, 20, 26, 31, 33, 32, 30, 27, 24, 20.0]) * s
    ys = np.interp(heights, _SPINE_Z, _SPINE_Y) - np.array([32, 42, 44, 44, 46, 46, 46, 43, 38, 36])
    semi = np.stack([[8, 15, 20, 25, 27, 26, 24, 21, 19, 15.0], [6, 10, 15, 19, 21, 20, 18, 16, 14, 12.0]], 1)
    canvas.paint(Column(heights, np.stack([xs, ys], 1), semi * bulk), m, 86 + k, over=WALL, fat_around=2.0)
