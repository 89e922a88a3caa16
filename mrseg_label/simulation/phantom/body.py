"""Paint the trunk around the organs: skin, fat, muscle wall, cavity, diaphragm, lungs, ribs.

It is painted first, everything else into it. All lengths are mm in the nominal body.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.canvas import Canvas
from mrseg_label.simulation.phantom.shapes import Array, lookup
from mrseg_label.simulation.phantom.tissue import Tissue

# height, half width, front, back of the muscles' outer surface
_MUSCLE = np.array(
    [
        (54, 3, -8, -12), (66, 44, 10, -55), (78, 92, 44, -92), (90, 138, 62, -106), (105, 150, 72, -110),
        (130, 147, 80, -112), (160, 142, 86, -110), (190, 136, 90, -108), (220, 130, 93, -107), (260, 128, 95, -107),
        (300, 132, 98, -110), (350, 139, 101, -115), (400, 145, 102, -120), (450, 146, 98, -122), (500, 142, 84, -118),
        (530, 132, 66, -110), (552, 108, 50, -102), (575, 60, 30, -95),
    ],
    float,
)  # fmt: skip
# height, half width, front, back of the cavity inside the wall
_CAVITY = np.array(
    [
        (70, 4, 0, -30), (85, 46, 42, -66), (110, 60, 58, -86), (140, 78, 70, -88), (170, 98, 76, -84),
        (200, 111, 79, -82), (250, 113, 81, -82), (300, 117, 84, -84), (350, 123, 86, -92), (400, 126, 86, -98),
        (450, 121, 80, -100), (500, 98, 60, -94), (525, 66, 38, -82), (542, 22, 8, -58), (575, 4, -20, -30),
    ],
    float,
)  # fmt: skip
_FIRST_RIB_MM, _RIB_STEP_MM = 300.0, 23.0


def paint_body(canvas: Canvas) -> None:
    """Paint everything around and between the organs, including lungs and ribs."""
    x, y, z = canvas.x, canvas.y, canvas.z
    participant = canvas.participant
    female = participant.sex == "F"
    belly = 1.0 + 0.006 * (participant.fat_mm - 14)
    skin = _radial(_profile(_MUSCLE, hips=1.03 if female else 1.0, chest=0.97 if female else 1.0), x, y, z)
    fat = participant.fat_mm * _fat_share(y, z, female)
    np.minimum(skin, _legs(x, y, z), out=skin)
    cavity = _radial(_profile(_CAVITY, front=belly), x, y, z)
    tissue, ids = canvas.tissue, canvas.ids
    tissue[skin < fat] = Tissue.SUBCUTANEOUS_FAT
    muscle = skin < 0
    tissue[muscle] = Tissue.MUSCLE
    # Fat planes between the layers of the abdominal wall.
    wall = muscle & (z > 190) & (z < 300) & (np.abs(skin + 6) < 1.0) & (np.abs(x) > 40) & (y > -60)
    tissue[wall] = Tissue.INTERMUSCULAR_FAT
    inside = muscle & (cavity < 0) & (z > 72)
    tissue[inside] = Tissue.VISCERAL_FAT
    _paint_ribs(canvas, muscle, skin, cavity)
    _paint_chest(canvas, inside, cavity)
    ids[tissue == Tissue.AIR] = 0


def _profile(
    table: NDArray[np.float64], hips: float = 1.0, chest: float = 1.0, front: float = 1.0
) -> NDArray[np.float64]:
    out = table.copy()
    z = table[:, 0]
    out[:, 1] *= np.interp(z, [150, 200, 280, 330], [hips, 1.0, 1.0, chest])
    out[:, 2] *= np.interp(z, [120, 200, 300, 380], [1.0, front, front, 1.0])
    return out


def _radial(table: NDArray[np.float64], x: Array, y: Array, z: Array) -> Array:
    """Compute the distance to a rounded outline along the ray from the middle of each level."""
    heights, half_width, front, back = table.T
    a = lookup(heights, half_width, z)
    b = lookup(heights, (front - back) / 2, z)
    dy = y - lookup(heights, (front + back) / 2, z)
    # With an exponent of 2.4, the trunk is flatter in front and behind than an ellipse.
    power = np.float32(2.4)
    level = ((np.abs(x) / a) ** power + (np.abs(dy) / b) ** power) ** (1 / power)
    radius = np.hypot(x, dy)
    distance: Array = radius * (1 - 1 / np.maximum(level, np.float32(1e-3)))
    return np.where(radius < 1, -np.minimum(a, b), distance).astype(np.float32)


def _legs(x: Array, y: Array, z: Array) -> Array:
    side = np.abs(x)
    cx = lookup([-60, 0, 60, 110], [90, 88, 82, 82], z)
    a = lookup([-60, 0, 60, 110, 125], [60, 66, 74, 70, 40], z)
    b = lookup([-60, 0, 60, 110, 125], [72, 78, 88, 80, 40], z)
    dx, dy = side - cx, y + 16
    level = np.sqrt((dx / a) ** 2 + (dy / b) ** 2)
    distance = np.hypot(dx, dy) * (1 - 1 / np.maximum(level, np.float32(1e-3)))
    return np.where(z < 118, distance, np.float32(1e3)).astype(np.float32)


def _fat_share(y: Array, z: Array, female: bool) -> Array:
    """Relative thickness of subcutaneous fat: large at buttocks, flanks, belly and women's hips, small at the chest."""
    low = lookup(
        [-20, 60, 110, 170, 230, 330, 420, 560], [0.7, 0.9, 1.35 if female else 1.0, 1.2, 1.15, 0.8, 0.6, 0.5], z
    )
    share: Array = low * (1 - np.float32(0.2) * np.clip(y / 100, -0.8, 1))
    return share


def diaphragm(x: Array, y: Array, cavity: Array) -> Array:
    """Compute the height of the diaphragm: two domes, the right one higher, a dip below the heart, a deep rim."""
    domes = 374 + 8 * np.tanh(x / 30) - 9 * np.exp(-(((x + 8) / 30) ** 2)) - ((y - 5) / 45) ** 2
    rim = (52 - 0.28 * y) * np.exp(np.minimum(cavity, 0) / 11)
    height: Array = (domes - rim).astype(np.float32)
    return height


def _paint_chest(canvas: Canvas, inside: NDArray[np.bool_], cavity: Array) -> None:
    chest = inside & (canvas.z > 270)
    index = np.nonzero(chest)
    x, y, z, wall = canvas.x[index], canvas.y[index], canvas.z[index], cavity[index]
    breath = np.float32(canvas.participant.shift("diaphragm", 4.0)[2])
    above = z - breath - diaphragm(x, y, wall)
    tissue, ids = canvas.tissue[index], canvas.ids[index]
    tissue[above > -3] = Tissue.DIAPHRAGM
    thorax = above > 0
    tissue[thorax] = Tissue.MEDIASTINUM
    narrow = 21 - 12 * np.clip((y - 20) / 40, 0, 1)
    lung = thorax & (np.abs(x) > narrow) & (wall < -2.5) & (z < 536)
    # The oblique fissure rises from front to back; the horizontal one exists in the right lung only.
    lower = z < 432 - 0.75 * y + canvas.participant.shift("fissure", 5.0)[0]
    right = x > 0
    middle = ~lower & (z < 446) & right
    tissue[lung] = Tissue.LUNG
    ids[lung & ~right] = 10
    ids[lung & right] = 12
    ids[lung & middle] = 13
    ids[lung & lower & ~right] = 11
    ids[lung & lower & right] = 14
    canvas.tissue[index], canvas.ids[index] = tissue, ids


def _paint_ribs(canvas: Canvas, muscle: NDArray[np.bool_], skin: Array, cavity: Array) -> None:
    cage = muscle & (canvas.z > 262) & (skin < -4) & (cavity > 1) & (cavity < 9)
    index = np.nonzero(cage)
    x, y, z = canvas.x[index], canvas.y[index], canvas.z[index]
    # Ribs descend from the spine to the front, so a rib is a band of constant z + slope * y.
    along = z + 0.42 * (y + 100) - 0.12 * np.abs(x)
    order = (along - _FIRST_RIB_MM) / _RIB_STEP_MM
    number = 12 - np.floor(order).astype(int)
    bony = (order - np.floor(order) < 0.42) & (number >= 1) & (number <= 12)
    # The lowest two do not reach the front, and all end at the spine.
    bony &= (number <= 10) | (y < 20)
    bony &= ~((np.abs(x) < 26) & (y < 0)) & (z < 535)
    front = (y > 55) & bony & (np.abs(x) > 15)
    sternum = (np.abs(x) < 15) & (y > 30) & (z > 375) & (z < 520)
    tissue, ids = canvas.tissue[index], canvas.ids[index]
    tissue[bony] = Tissue.RIB
    ids[bony] = np.where(x < 0, 91 + number, 103 + number)[bony].astype(np.uint8)
    tissue[front], ids[front] = Tissue.CARTILAGE, 117
    tissue[sternum], ids[sternum] = Tissue.RIB, 116
    canvas.tissue[index], canvas.ids[index] = tissue, ids
