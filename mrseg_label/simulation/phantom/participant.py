"""A participant of the phantom cohort: everything in which one differs from another."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sex = Literal["F", "M"]
PIVOT_MM = 200.0  # height that does not change when a participant is scaled: just above the iliac crest


@dataclass(frozen=True)
class Participant:
    """One participant of the phantom cohort; the same seed and index always give the same one.

    Attributes
    ----------
    scale : size along x, y and z relative to the nominal body.
    fat_mm : thickness of the subcutaneous fat.
    liver_fat : fat fraction of the liver, 0 to 1.
    missing : structures that were removed by surgery: ``gallbladder``, ``right_kidney``, ``left_kidney``.
    cysts : organs with a cyst: ``liver``, ``right_kidney``, ``left_kidney``.
    contrast_medium : whether the CT is contrast-enhanced, in the portal venous phase.
    """

    seed: int
    index: int
    code: str
    sex: Sex
    age: int
    scale: tuple[float, float, float]
    fat_mm: float
    liver_fat: float
    missing: frozenset[str]
    cysts: frozenset[str]
    contrast_medium: bool

    @classmethod
    def draw(cls, seed: int, index: int) -> Participant:
        """Draw participant ``index`` of the cohort with this seed."""
        rng = np.random.default_rng([seed, index])
        sex: Sex = "F" if rng.random() < 0.5 else "M"
        age = int(rng.integers(24, 82))
        height = rng.normal(0.965 if sex == "F" else 1.01, 0.03)
        scale = np.clip(height * rng.normal(1, [0.03, 0.03, 0.02]), 0.9, 1.08)
        fat = float(np.clip(rng.normal(16 if sex == "F" else 13, 4.5), 7, 26))
        missing: set[str] = set()
        if rng.random() < 0.15:
            missing.add("gallbladder")
        if rng.random() < 0.08:
            missing.add(str(rng.choice(["right_kidney", "left_kidney"])))
        cysts = {
            organ
            for organ, chance in (("liver", 0.25), ("right_kidney", 0.2), ("left_kidney", 0.2))
            if rng.random() < chance * (0.5 + age / 80) and organ not in missing
        }
        return cls(
            seed=seed,
            index=index,
            code=f"P{index + 1:03d}",
            sex=sex,
            age=age,
            scale=(float(scale[0]), float(scale[1]), float(scale[2])),
            fat_mm=fat,
            liver_fat=float(np.clip(rng.gamma(1.5, 0.04), 0.01, 0.3)),
            missing=frozenset(missing),
            cysts=frozenset(cysts),
            contrast_medium=bool(rng.random() < 0.75),
        )

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """Make a separate random generator for each purpose, so that a new organ does not change the others."""
        keys = [zlib.crc32(str(part).encode()) for part in purpose]
        return np.random.default_rng([self.seed, self.index, *keys])

    def shift(self, name: str, sd_mm: float = 3.5) -> NDArray[np.float64]:
        """Draw the displacement of an organ from its nominal place, (3,) mm."""
        offset: NDArray[np.float64] = np.clip(self.rng("shift", name).normal(0, sd_mm, 3), -2 * sd_mm, 2 * sd_mm)
        return offset

    def size(self, name: str, sd: float = 0.08) -> float:
        """Draw the size of an organ relative to the nominal one, as a factor of length."""
        return float(np.clip(self.rng("size", name).normal(1, sd), 1 - 2 * sd, 1 + 2 * sd))
