"""Paint organs, bowel and vessels. Lengths are mm in the nominal body: +x right, +y front, +z up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.canvas import ABDOMEN, TRUNK_INSIDE, WALL, Canvas
from mrseg_label.simulation.phantom.shapes import Shape, ellipsoid, frame, tube
from mrseg_label.simulation.phantom.skeleton import spine_y
from mrseg_label.simulation.phantom.tissue import Tissue

CHEST = (*TRUNK_INSIDE, Tissue.MUSCLE)
LUNG_IDS = (10, 11, 12, 13, 14)


def paint_vessels(canvas: Canvas) -> None:
    """Paint aorta, inferior vena cava, portal and splenic vein, and iliac vessels."""
    participant = canvas.participant
    wide = 0.9 + 0.004 * (participant.age - 24)
    move = participant.shift("great_vessels", 2.0) * (1, 0.6, 0)
    descending = [
        (-10 - 0.05 * max(0.0, z - 300), spine_y(z) + 28 - 0.03 * max(0.0, z - 300), z) for z in range(238, 490, 20)
    ]
    arch = [(-18, -28, 490), (-10, -8, 506), (4, 10, 500), (14, 18, 470), (8, 18, 440)]
    aorta = tube(np.array(descending + arch) + move, np.linspace(9.5, 13.5, len(descending) + len(arch)) * wide)
    canvas.paint(aorta, Tissue.ARTERIAL_BLOOD, 52, over=CHEST, over_ids=(0, *LUNG_IDS))
    fork = np.array([-9, spine_y(238) + 27, 238]) + move
    for k, s in ((0, -1), (1, 1)):
        bend = participant.rng("iliac", k).normal(0, 3, (4, 3))
        route = np.array([(s * 26, -8, 200), (s * 40, 2, 166), (s * 56, 36, 126), (s * 63, 50, 104)]) + bend
        canvas.paint(
            tube(np.vstack([fork, route]), [7, 6.5, 6.2, 5.5, 5.2], step=14), Tissue.ARTERIAL_BLOOD, 65 + k, over=WALL
        )
    lower = np.array(
        [(20, spine_y(z) + 26, z) for z in (228, 260, 290, 315)] + [(26, -2, 340), (24, 6, 362), (19, 12, 384)], float
    )
    canvas.paint(
        tube(lower + move, [11, 11, 12, 13, 13.5, 13.5, 13]),
        Tissue.VENOUS_BLOOD, 63, over=TRUNK_INSIDE, over_ids=(0, *LUNG_IDS),
    )  # fmt: skip
    fork = lower[0] + move
    for k, s in ((0, -1), (1, 1)):
        bend = participant.rng("iliac_vein", k).normal(0, 3, (4, 3))
        route = np.array([(s * 25 + 2, -20, 196), (s * 36, -12, 164), (s * 46, 22, 124), (s * 52, 42, 103)]) + bend
        canvas.paint(tube(np.vstack([fork, route]), [9, 8, 8, 7.5, 7], step=14), Tissue.VENOUS_BLOOD, 67 + k, over=WALL)
    move = participant.shift("portal", 2.5)
    portal = tube(np.array([(10, 14, 282), (20, 16, 300), (34, 16, 318), (52, 14, 330)]) + move, [7.5, 7.5, 7.5, 6])
    splenic = tube(
        np.array([(10, 14, 284), (-12, 16, 292), (-40, 2, 304), (-66, -18, 318), (-84, -26, 328)]) + move, 5.2, step=14
    )
    canvas.paint([portal, splenic], Tissue.PORTAL_BLOOD, 64)


def paint_chest(canvas: Canvas) -> None:
    """Paint heart, trachea and oesophagus."""
    participant = canvas.participant
    move = participant.shift("heart", 3.5)
    k = participant.size("heart", 0.06) * (0.98 + 0.001 * (participant.age - 40))
    axes = frame([-0.8, 0.45, -0.4], [0.25, 0.35, 0.9])

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return np.array([x, y, z]) + move

    canvas.paint(ellipsoid(at(-20, 28, 410), (56 * k, 41 * k, 44 * k), axes), Tissue.MYOCARDIUM, 51,
                 over=(Tissue.MEDIASTINUM, Tissue.LUNG, Tissue.DIAPHRAGM), over_ids=(0, *LUNG_IDS))  # fmt: skip
    for center, semi in (
        ((-40, 26, 400), (25, 17, 18)), ((-14, 46, 402), (26, 12, 22)), ((20, 24, 416), (17, 18, 22)), ((-8, 2, 426), (22, 13, 16)),
    ):  # fmt: skip
        canvas.recolour(ellipsoid(at(*center), np.array(semi) * k, axes), Tissue.HEART_BLOOD, (51,))
    windpipe = [
        tube([(2, -26, 560), (0, -34, 492)], 9),
        tube([(0, -34, 492), (28, -38, 466)], 7),
        tube([(0, -34, 492), (-28, -38, 468)], 7),
    ]
    canvas.paint(windpipe, Tissue.GAS, 16, over=CHEST, over_ids=(0, *LUNG_IDS))
    gullet = tube(
        [
            (-2, -44, 560),
            (-2, -48, 500),
            (-3, -42, 450),
            (-4, -30, 415),
            (-12, -16, 390),
            (-24, -4, 372),
            (-32, 0, 362),
        ],
        8,
        step=16,
    )
    canvas.paint(gullet, Tissue.BOWEL_WALL, 15, over=CHEST, over_ids=(0, *LUNG_IDS))


def paint_retroperitoneum(canvas: Canvas) -> None:
    """Paint kidneys with cysts, adrenal glands, pancreas, duodenum, bladder, and prostate or uterus."""
    participant = canvas.participant
    for name, label, s, z, cyst_id in (("right_kidney", 2, 1, 283, 24), ("left_kidney", 3, -1, 297, 23)):
        move = participant.shift(name, 4.0)
        center = np.array([s * 64, -42, z]) + move
        if name not in participant.missing:
            _paint_kidney(canvas, name, label, s, center, cyst_id)
        gland = np.array([s * 38 if s > 0 else -36, -30, z + 54 - (4 if s < 0 else 0)]) + participant.shift(
            f"{name}_adrenal", 2.0
        )
        limbs: list[Shape] = [
            tube([gland + np.array([-s * 4, 8, 6]), gland, gland + np.array([s * 12, -14, -10])], [4.5, 4.8, 3.6]),
            tube([gland, gland + np.array([-s * 3, -16, -9])], [4.8, 3.6]),
        ]
        canvas.paint(limbs, Tissue.ADRENAL, 8 if s > 0 else 9, over=(Tissue.VISCERAL_FAT, Tissue.DIAPHRAGM))
    move = participant.shift("pancreas", 3.0)
    k = participant.size("pancreas", 0.1)
    gland_line = (
        np.array([(34, 14, 262), (32, 18, 276), (8, 30, 286), (-22, 24, 294), (-52, 2, 306), (-78, -16, 318)]) + move
    )
    canvas.paint(tube(gland_line, np.array([15, 15, 11, 12, 11, 9]) * k, step=14), Tissue.PANCREAS, 7)
    move = participant.shift("duodenum", 3.0)
    loop = (
        np.array(
            [
                (26, 46, 288),
                (46, 36, 292),
                (56, 18, 278),
                (55, 8, 250),
                (40, 4, 236),
                (10, 14, 236),
                (-16, 16, 244),
                (-28, 26, 258),
            ]
        )
        + move
    )
    _paint_bowel(canvas, loop, 12.5 * participant.size("duodenum", 0.08), 19, "duodenum", gas=0.0)
    full = participant.size("bladder", 0.2)
    canvas.paint(ellipsoid(np.array([0, 22, 110 + 8 * (full - 1)]), (36 * full, 28 * full, 25 * full)), Tissue.URINE, 21,
                 shell=(3.2, Tissue.LABELLED_MUSCLE))  # fmt: skip
    if participant.sex == "M":
        canvas.paint(ellipsoid((0, 12, 80), (21, 17, 15)), Tissue.PROSTATE, 22, over=WALL)
    else:
        canvas.paint(ellipsoid((2, -18, 128), (24, 17, 28)), Tissue.UTERUS)


def _paint_kidney(canvas: Canvas, name: str, label: int, s: int, center: NDArray[np.float64], cyst_id: int) -> None:
    participant = canvas.participant
    k = participant.size(name, 0.09)
    # Kidneys are oblique: the upper pole is nearer to the spine and farther back, the hilum points inwards and forwards.
    axes = frame([s * 0.85, -0.45, 0.1], [-s * 0.25, -0.2, 1.0])
    if name in participant.cysts:
        rng = participant.rng("cyst", name)
        at = center + axes @ (np.array([26, 6, rng.uniform(-35, 35)]) * k)
        canvas.paint(ellipsoid(at, np.full(3, rng.uniform(9, 20))), Tissue.CYST, cyst_id, over=WALL)
    canvas.paint(ellipsoid(center, np.array([28, 23, 55]) * k, axes), Tissue.KIDNEY_CORTEX, label, over=WALL)
    canvas.recolour(ellipsoid(center, np.array([20, 14, 44]) * k, axes), Tissue.KIDNEY_MEDULLA, (label,))
    hilum = center - axes @ (np.array([22, 0, 0]) * k)
    sinus = canvas.distance([ellipsoid(hilum, np.array([19, 8, 24]) * k, axes)])
    if sinus is not None:
        box, distance = sinus
        hollow = (distance < 0) & (canvas.ids[box] == label)
        canvas.tissue[box][hollow] = Tissue.VISCERAL_FAT
        canvas.ids[box][hollow] = 0
    pelvis = tube([center - axes @ (np.array([8, 0, 0]) * k), center - axes @ (np.array([26, 2, 8]) * k)], [6, 4])
    canvas.paint(pelvis, Tissue.URINE)


def paint_upper_abdomen(canvas: Canvas) -> None:
    """Paint gallbladder, stomach, spleen, and the liver with vessels and perhaps a cyst."""
    participant = canvas.participant
    if "gallbladder" not in participant.missing:
        k = participant.size("gallbladder", 0.15)
        line = np.array([(42, 28, 306), (50, 46, 288), (56, 62, 272)]) + participant.shift("gallbladder", 3.0)
        canvas.paint(tube(line, np.array([7, 13, 15]) * k), Tissue.BILE, 4, shell=(1.6, Tissue.BOWEL_WALL))
    move, k = participant.shift("stomach", 4.0), participant.size("stomach", 0.12)
    bag = tube(np.array([(-48, 2, 346), (-62, 18, 334), (-68, 38, 312), (-56, 54, 288), (-24, 60, 278), (4, 54, 282), (20, 50, 287)]) + move,
               np.array([28, 29, 27, 25, 20, 15, 11]) * k, step=15)  # fmt: skip
    _paint_hollow(
        canvas, [bag], 6, Tissue.STOMACH_CONTENT, 4.0, gas_above=float(40 + move[1]), over=(Tissue.VISCERAL_FAT,)
    )
    k = participant.size("spleen", 0.12)
    spleen = ellipsoid(
        np.array([-92, -34, 324]) + participant.shift("spleen", 4.0),
        np.array([29, 46, 50]) * k,
        frame([-0.9, -0.4, 0.15], [-0.2, 0.3, 0.95]),
    )
    canvas.paint(spleen, Tissue.SPLEEN, 1)
    move, k = participant.shift("liver", 4.0), participant.size("liver", 0.06)

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return np.array([x, y, z]) + move

    lobes: list[Shape] = [
        ellipsoid(at(72, 0, 322), np.array([64, 80, 72]) * k, frame([1, 0, -0.15], [0.1, 0, 1])),
        ellipsoid(at(6, 42, 344), np.array([72, 38, 34]) * k, frame([0.95, -0.1, -0.2], [0.2, 0.1, 1])),
    ]
    if "liver" in participant.cysts:
        rng = participant.rng("liver_cyst")
        place, radius = np.array([84, 4, 330]) + rng.uniform(-22, 22, 3), rng.uniform(8, 16)
        cyst = ellipsoid(place + move, np.full(3, radius))
    else:
        cyst = None
    canvas.paint(lobes, Tissue.LIVER, 5)
    veins: list[Shape] = [
        tube([at(26, 4, 362), at(58, 10, 350), at(96, 18, 334)], [6, 5, 3.5]),
        tube([at(26, 4, 364), at(40, 34, 350), at(50, 58, 335)], [6, 5, 3]),
        tube([at(22, 6, 364), at(0, 34, 352), at(-26, 50, 346)], [5, 4, 3]),
        tube([at(50, 14, 328), at(84, -8, 316), at(104, -20, 300)], [5.5, 4.5, 3]),
        tube([at(50, 14, 328), at(30, 40, 336), at(-6, 50, 340)], [5, 4, 3]),
    ]
    canvas.recolour(veins, Tissue.VENOUS_BLOOD, (5,))
    if cyst is not None:
        # TotalSegmentator labels a cyst of the liver as liver.
        canvas.recolour(cyst, Tissue.CYST, (5,))


def paint_bowel(canvas: Canvas) -> None:
    """Paint the colon with the rectum, and the loops of the small bowel between them."""
    participant = canvas.participant
    rng = participant.rng("colon")
    frame_line = np.array([
        (0, -46, 84), (0, -60, 112), (4, -62, 138), (-14, -38, 158), (-12, 2, 162), (-44, 18, 170), (-80, 8, 180), (-97, -8, 204),
        (-99, -20, 250), (-97, -22, 292), (-92, 2, 322), (-62, 58, 296), (-10, 66, 258), (44, 62, 262), (84, 24, 282), (92, -10, 266),
        (93, -6, 230), (88, 8, 200), (78, 22, 184),
    ], float)  # fmt: skip
    wobble = rng.normal(0, 4.5, frame_line.shape)
    wobble[:3] *= 0.4
    radius = np.interp(
        np.arange(len(frame_line)), [0, 2, 4, 8, 11, 14, 18], [13, 17, 14, 15, 18, 20, 23]
    ) * participant.size("colon", 0.08)
    _paint_bowel(canvas, frame_line + wobble, radius, 20, "colon", gas=0.35, haustra=0.14)
    rng = participant.rng("small_bowel")
    nodes = []
    row = 0
    for y in (52, 26, 4):
        heights = np.arange(150, 266, 24) if row % 2 == 0 else np.arange(252, 140, -24)
        for z in heights:
            half = 78 * np.sqrt(max(0.15, 1 - ((z - 208) / 72) ** 2)) * (1.0 if y > 10 else 0.8)
            xs = np.linspace(-half, half, 5)
            xs = xs if row % 2 == 0 else xs[::-1]
            nodes += [(x, y + rng.normal(0, 5), z + rng.normal(0, 6)) for x in xs]
            row += 1
    _paint_bowel(canvas, np.array(nodes), 12.2 * participant.size("small_bowel", 0.08), 18, "small_bowel", gas=0.08)


def _paint_bowel(
    canvas: Canvas,
    line: NDArray[np.float64],
    radius: float | NDArray[np.float64],
    label: int,
    name: str,
    gas: float,
    haustra: float = 0.0,
) -> None:
    rng = canvas.participant.rng("bowel", name)
    path = tube(line, radius, step=12)
    phase = np.arange(len(path.points)) * 2.1 + rng.uniform(0, 6)
    path = tube(path.points, path.radii * (1 + haustra * np.sin(phase)))
    content = Tissue.STOOL if label == 20 else Tissue.BOWEL_CONTENT
    shell = 2.6
    where = canvas.paint(path, content, label, over=ABDOMEN, shell=(shell, Tissue.BOWEL_WALL))
    if where is None or gas <= 0:
        return
    # Gas fills stretches of the bowel, in the front half of its cross-section.
    full = np.convolve(rng.normal(size=len(path.points) + 6), np.ones(7) / np.sqrt(7), "valid") > np.quantile(
        rng.normal(size=999), 1 - gas
    )
    for k in np.nonzero(full)[0]:
        bubble = ellipsoid(path.points[k] + (0, 4, 0), np.array([1, 0.7, 1.0]) * max(path.radii[k] - shell - 1.5, 2))
        canvas.recolour(bubble, Tissue.GAS, (label,))


def _paint_hollow(
    canvas: Canvas,
    shapes: list[Shape],
    label: int,
    content: Tissue,
    wall: float,
    gas_above: float,
    over: tuple[Tissue, ...],
) -> None:
    found = canvas.paint(shapes, content, label, over=over, shell=(wall, Tissue.BOWEL_WALL))
    if found is not None:
        level = found & (canvas.tissue == content) & (canvas.y > gas_above)
        canvas.tissue[level] = Tissue.GAS
