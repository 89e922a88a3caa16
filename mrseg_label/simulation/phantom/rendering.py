"""Render painted tissue as a scanner would: Dixon channels, T1, T2, fat-saturated T1, and CT.

References
----------
Spoiled gradient echo: Haase et al. 1986, 10.1016/0022-2364(86)90433-6. Two-point Dixon: Dixon 1984,
10.1148/radiology.153.1.6089263. Rician noise: Gudbjartsson and Patz 1995, 10.1002/mrm.1910340618.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.errors import InvalidInput
from mrseg_label.simulation.phantom.grid import Grid, smooth_field
from mrseg_label.simulation.phantom.painting import Painted
from mrseg_label.simulation.phantom.tissue import FAT_T1_MS, FAT_T2_MS, FLOWING, Tissue, TissueTable

DIXON = ("in", "opp", "fat", "water")
SEQUENCES = (*DIXON, "t1", "t2", "t1fs", "ct")
_FULL_SCALE = 900.0  # approximate stored value of the brightest fat
Volume = NDArray[np.float32]


class Acquisition:
    """One acquisition of one station: its channels share the bias field, flow effects and noise level."""

    def __init__(self, painted: Painted, seed: int = 0) -> None:
        self.painted = painted
        self.seed = seed
        self.table = TissueTable(painted.participant)
        self._rng = painted.participant.rng("acquisition", painted.station, seed)
        self._bias_sd = self._rng.uniform(0.08, 0.22)
        self._noise = self._rng.uniform(0.01, 0.03)
        self._inflow = self._rng.uniform(1.25, 1.7)
        self._gain = _FULL_SCALE * self._rng.uniform(0.7, 1.3)

    def render(self, sequence: str) -> NDArray[np.int16]:
        """Render one channel or contrast: (I, J, K) int16, CT in HU, MR in non-negative arbitrary units.

        Raises
        ------
        InvalidInput
            The sequence is unknown.
        """
        if sequence == "ct":
            return self._ct()
        if sequence in DIXON:
            water, fat = self._gradient_echo
            signal = {"in": water + fat, "opp": np.abs(water - fat), "fat": fat, "water": water}[sequence]
        elif sequence == "t1":
            water, fat = self._spin_echo(500, 10)
            signal = water + fat
        elif sequence == "t2":
            water, fat = self._spin_echo(3000, 85)
            signal = 1.2 * (water + fat)
        elif sequence == "t1fs":
            water, fat = self._gradient_echo
            signal = 1.5 * (water + np.float32(0.08) * fat)
        else:
            raise InvalidInput(f"the phantom has no sequence {sequence!r}; choose one of {', '.join(SEQUENCES)}")
        rng = self.painted.participant.rng("noise", self.painted.station, sequence, self.seed)
        signal = signal * self._bias
        real = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(self._noise)
        imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(self._noise)
        magnitude = np.hypot(signal + real, imaginary)
        stored: NDArray[np.int16] = np.rint(magnitude * np.float32(self._gain)).astype(np.int16)
        return stored

    @cached_property
    def _bias(self) -> Volume:
        grid = Grid(self._shape, self.painted.affine)
        log_field = smooth_field(
            grid, self.painted.participant.rng("bias", self.painted.station, self.seed), 1.0, (350, 900), 6
        )
        bias: Volume = np.exp(np.float32(self._bias_sd) * log_field)
        return bias

    @property
    def _shape(self) -> tuple[int, int, int]:
        i, j, k = self.painted.tissue.shape
        return i, j, k

    @cached_property
    def _gradient_echo(self) -> tuple[Volume, Volume]:
        """Water and fat signal of a spoiled gradient echo, TR 4.2 ms, 11 degrees; scaled so that fat is about 1."""
        angle, tr = np.deg2rad(11), 4.2

        def steady(t1: NDArray[np.float64] | float) -> NDArray[np.float64]:
            e1 = np.exp(-tr / np.asarray(t1, float))
            signal: NDArray[np.float64] = np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1)
            return signal

        scale = 1 / (0.9 * steady(FAT_T1_MS))
        water = steady(self.table.t1) * scale
        fat = steady(FAT_T1_MS) * scale
        return self._split(water, float(fat), self._inflow)

    def _spin_echo(self, tr: float, te: float) -> tuple[Volume, Volume]:
        """Compute water and fat signal of a spin echo; flowing blood leaves the slice before the echo."""
        water = (1 - np.exp(-tr / self.table.t1)) * np.exp(-te / self.table.t2)
        fat = (1 - np.exp(-tr / FAT_T1_MS)) * np.exp(-te / FAT_T2_MS)
        reference = (1 - np.exp(-500 / FAT_T1_MS)) * np.exp(-10 / FAT_T2_MS)
        return self._split(water / reference, float(fat / reference), 0.3)

    def _split(self, water: NDArray[np.float64], fat: float, flow: float) -> tuple[Volume, Volume]:
        density, fraction = self.table.proton_density, self.table.fat_fraction
        factor = np.ones(len(density))
        factor[list(FLOWING)] = flow
        return (
            _blurred(self.painted.tissue, water * density * (1 - fraction) * factor),
            _blurred(self.painted.tissue, fat * density * fraction),
        )

    def _ct(self) -> NDArray[np.int16]:
        rng = self.painted.participant.rng("noise", self.painted.station, "ct", self.seed)
        clean = _blurred(self.painted.tissue, self.table.hounsfield)
        noise = rng.standard_normal(self._shape, dtype=np.float32) * np.float32(rng.uniform(8, 20))
        stored: NDArray[np.int16] = np.clip(np.rint(clean + noise), -1024, 3000).astype(np.int16)
        return stored


def render(painted: Painted, sequence: str, seed: int = 0) -> NDArray[np.int16]:
    """Render one sequence of one station; use :class:`Acquisition` for several, which share most of the work."""
    return Acquisition(painted, seed).render(sequence)


def render_all(painted: Painted, sequences: Iterable[str], seed: int = 0) -> dict[str, NDArray[np.int16]]:
    """Render several sequences of one acquisition, and return them by name."""
    acquisition = Acquisition(painted, seed)
    return {sequence: acquisition.render(sequence) for sequence in sequences}


def _blurred(tissue: NDArray[np.uint8], values: NDArray[np.float64]) -> Volume:
    """Map tissue to values and blur them by half a voxel, as partial volume does."""
    table = np.zeros(len(Tissue), np.float32)
    table[:] = values
    blurred: Volume = ndimage.gaussian_filter(table[tissue], 0.5, truncate=3.0)
    return blurred
