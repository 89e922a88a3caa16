"""The tissues of the phantom and their MR and CT properties."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.participant import Participant


class Tissue(IntEnum):
    """A tissue; its value is the voxel value in a tissue map."""

    AIR = 0
    SUBCUTANEOUS_FAT = 1
    MUSCLE = 2
    VISCERAL_FAT = 3
    INTERMUSCULAR_FAT = 4
    DIAPHRAGM = 5
    LUNG = 6
    MEDIASTINUM = 7
    CORTICAL_BONE = 8
    SPINE_MARROW = 9
    LIMB_MARROW = 10
    RIB = 11
    CARTILAGE = 12
    DISC = 13
    CSF = 14
    CORD = 15
    ARTERIAL_BLOOD = 16
    VENOUS_BLOOD = 17
    MYOCARDIUM = 18
    HEART_BLOOD = 19
    LIVER = 20
    SPLEEN = 21
    KIDNEY_CORTEX = 22
    KIDNEY_MEDULLA = 23
    PANCREAS = 24
    ADRENAL = 25
    BILE = 26
    URINE = 27
    CYST = 28
    BOWEL_WALL = 29
    BOWEL_CONTENT = 30
    STOOL = 31
    GAS = 32
    STOMACH_CONTENT = 33
    PROSTATE = 34
    UTERUS = 35
    LABELLED_MUSCLE = 36
    PORTAL_BLOOD = 37


# T1 and T2 of the water component in ms at 1.5 T, proton density relative to water, fat fraction, HU, and the HU that
# contrast medium adds in the portal venous phase. Relaxation times are rounded from the literature.
_TABLE: dict[Tissue, tuple[float, float, float, float, float, float]] = {
    Tissue.AIR: (1, 1, 0.0, 0.0, -1000, 0),
    Tissue.SUBCUTANEOUS_FAT: (900, 45, 0.95, 0.93, -105, 0),
    Tissue.MUSCLE: (900, 42, 0.78, 0.05, 52, 10),
    Tissue.VISCERAL_FAT: (900, 45, 0.92, 0.88, -95, 2),
    Tissue.INTERMUSCULAR_FAT: (900, 45, 0.92, 0.75, -70, 2),
    Tissue.DIAPHRAGM: (900, 42, 0.78, 0.05, 50, 10),
    Tissue.LUNG: (1200, 25, 0.10, 0.0, -830, 5),
    Tissue.MEDIASTINUM: (900, 50, 0.88, 0.55, -40, 8),
    Tissue.CORTICAL_BONE: (800, 5, 0.08, 0.05, 780, 0),
    Tissue.SPINE_MARROW: (700, 45, 0.72, 0.42, 190, 10),
    Tissue.LIMB_MARROW: (700, 45, 0.80, 0.75, 95, 5),
    Tissue.RIB: (700, 30, 0.40, 0.35, 420, 5),
    Tissue.CARTILAGE: (900, 35, 0.65, 0.05, 110, 5),
    Tissue.DISC: (1100, 70, 0.75, 0.0, 75, 0),
    Tissue.CSF: (3800, 1500, 1.0, 0.0, 8, 0),
    Tissue.CORD: (850, 80, 0.75, 0.0, 35, 0),
    Tissue.ARTERIAL_BLOOD: (1400, 180, 0.9, 0.0, 43, 105),
    Tissue.VENOUS_BLOOD: (1400, 130, 0.9, 0.0, 43, 85),
    Tissue.PORTAL_BLOOD: (1400, 130, 0.9, 0.0, 43, 120),
    Tissue.MYOCARDIUM: (980, 50, 0.8, 0.0, 48, 60),
    Tissue.HEART_BLOOD: (1400, 160, 0.9, 0.0, 43, 100),
    Tissue.LIVER: (570, 46, 0.76, 0.04, 60, 48),
    Tissue.SPLEEN: (1050, 78, 0.82, 0.0, 48, 68),
    Tissue.KIDNEY_CORTEX: (950, 88, 0.85, 0.0, 34, 140),
    Tissue.KIDNEY_MEDULLA: (1350, 100, 0.88, 0.0, 32, 110),
    Tissue.PANCREAS: (600, 48, 0.78, 0.1, 40, 55),
    Tissue.ADRENAL: (720, 60, 0.78, 0.05, 25, 55),
    Tissue.BILE: (1600, 600, 0.98, 0.0, 8, 0),
    Tissue.URINE: (3500, 1200, 1.0, 0.0, 6, 0),
    Tissue.CYST: (3000, 1000, 1.0, 0.0, 5, 0),
    Tissue.BOWEL_WALL: (900, 60, 0.8, 0.03, 42, 45),
    Tissue.BOWEL_CONTENT: (1500, 180, 0.85, 0.04, 22, 0),
    Tissue.STOOL: (1000, 80, 0.55, 0.1, 5, 0),
    Tissue.GAS: (1, 1, 0.01, 0.0, -950, 0),
    Tissue.STOMACH_CONTENT: (1900, 250, 0.9, 0.03, 28, 0),
    Tissue.PROSTATE: (1150, 95, 0.85, 0.02, 40, 30),
    Tissue.UTERUS: (1100, 90, 0.85, 0.0, 45, 55),
    Tissue.LABELLED_MUSCLE: (900, 42, 0.78, 0.07, 52, 10),
}
FLOWING = (Tissue.ARTERIAL_BLOOD, Tissue.VENOUS_BLOOD, Tissue.PORTAL_BLOOD, Tissue.HEART_BLOOD)
FAT_T1_MS = 270.0
FAT_T2_MS = 75.0


class TissueTable:
    """The properties of all tissues in one participant, as arrays indexed by tissue."""

    def __init__(self, participant: Participant) -> None:
        rows = np.array([_TABLE[tissue] for tissue in Tissue], dtype=np.float64)
        rng = participant.rng("tissue")
        # Participants differ, and relaxation times measured in vivo deviate from the literature.
        rows[:, 0] *= rng.normal(1, 0.05, len(rows)).clip(0.85, 1.15)
        rows[:, 1] *= rng.normal(1, 0.05, len(rows)).clip(0.85, 1.15)
        rows[Tissue.LIVER, 3] = participant.liver_fat
        rows[Tissue.LIVER, 4] = 62 - 110 * participant.liver_fat
        rows[Tissue.SPINE_MARROW, 3] = np.clip(0.3 + 0.0028 * (participant.age - 20) + rng.normal(0, 0.03), 0.2, 0.6)
        rows[Tissue.SPINE_MARROW, 4] = 230 - 1.4 * (participant.age - 25)
        rows[Tissue.PANCREAS, 3] = np.clip(0.04 + 0.0015 * (participant.age - 20), 0.04, 0.2)
        self.t1: NDArray[np.float64] = rows[:, 0]
        self.t2: NDArray[np.float64] = rows[:, 1]
        self.proton_density: NDArray[np.float64] = rows[:, 2]
        self.fat_fraction: NDArray[np.float64] = rows[:, 3]
        self.hounsfield: NDArray[np.float64] = rows[:, 4] + rows[:, 5] * participant.contrast_medium
