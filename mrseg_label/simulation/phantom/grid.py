"""Body stations, their grids, and smooth random fields on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.participant import PIVOT_MM, Participant

# Lower and upper end of each station in the nominal body, mm above the upper thigh.
STATIONS: dict[str, tuple[float, float]] = {
    "abdomen": (156.0, 396.0),
    "pelvis": (6.0, 240.0),
    "trunk": (0.0, 552.0),
}
_WIDTH_MM = 392.0
_DEPTH_MM = 280.0
_CENTER_Y_MM = -6.0


@dataclass(frozen=True)
class Grid:
    """A regular grid.

    Attributes
    ----------
    shape : number of voxels (I, J, K).
    affine : (4, 4) from voxel index to RAS mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Spacing along i, j, k, mm."""
        spacing: NDArray[np.float64] = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return spacing

    def coordinates(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Compute the RAS coordinates x, y and z of every voxel in mm, each (I, J, K)."""
        i, j, k = (np.arange(n, dtype=np.float32) for n in self.shape)
        a = self.affine.astype(np.float32)
        x, y, z = (
            np.add.outer(np.add.outer(row[0] * i, row[1] * j), row[2] * k) + row[3] for row in (a[0], a[1], a[2])
        )
        return x, y, z


def image_grid(participant: Participant, station: str) -> Grid:
    """Draw the grid on which an MR scanner stores a participant's station.

    Spacing, slice direction (axial, rarely coronal), axis order (LPS, RAS, LAS) and a slight obliqueness vary between
    participants and stations, as in real cohorts.
    """
    rng = participant.rng("grid", station)
    fine = rng.uniform(2.1, 2.5)
    thick = rng.uniform(3.4, 4.5)
    coronal = participant.rng("plane").random() < 0.15
    spacing = (fine, thick, fine) if coronal else (fine, fine, thick)
    order = str(rng.choice(["LPS", "RAS", "LAS"], p=[0.5, 0.3, 0.2]))
    tilt = np.deg2rad(rng.normal(0, [2.0, 0.5, 0.5])) if rng.random() < 0.5 else np.zeros(3)
    return make_grid(participant, station, spacing, order, tilt, coronal)


def ct_grid(participant: Participant, station: str, spacing: float = 3.0) -> Grid:
    """Make an isotropic grid in RAS order, as for a CT of a participant's station."""
    return make_grid(participant, station, (spacing,) * 3, "RAS", np.zeros(3))


def make_grid(
    participant: Participant,
    station: str,
    spacing: tuple[float, float, float],
    order: str = "RAS",
    tilt: NDArray[np.float64] | None = None,
    coronal: bool = False,
) -> Grid:
    """Make a grid that covers a station.

    Parameters
    ----------
    spacing : along x, y, z in mm.
    order : directions of the three axes, before ``coronal``.
    tilt : rotation about x, y and z in radians, about the centre of the station.
    coronal : the slice axis (last) runs from front to back instead of along the body.
    """
    low, high = (PIVOT_MM + (h - PIVOT_MM) * participant.scale[2] for h in STATIONS[station])
    center = np.array([0.0, _CENTER_Y_MM, (low + high) / 2])
    extent = np.array([_WIDTH_MM, _DEPTH_MM, high - low])
    columns = {0: 0, 1: 1, 2: 2} if not coronal else {0: 0, 1: 2, 2: 1}
    shape = tuple(round(float(extent[columns[axis]]) / spacing[columns[axis]]) for axis in range(3))
    direction = np.zeros((3, 3))
    for axis in range(3):
        world = columns[axis]
        direction[world, axis] = -1.0 if order[world] in "LPI" else 1.0
    rotation = np.eye(3)
    if tilt is not None:
        for axis, angle in enumerate(tilt):
            rotation = _rotation(axis, float(angle)) @ rotation
    affine = np.eye(4)
    affine[:3, :3] = rotation @ direction * np.array([spacing[columns[axis]] for axis in range(3)])
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    a, b = [k for k in range(3) if k != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


def smooth_field(
    grid: Grid, rng: np.random.Generator, rms: float, wavelengths_mm: tuple[float, float], waves: int = 10
) -> NDArray[np.float32]:
    """Make a smooth random field: a sum of plane waves that is the same in the world on every grid.

    A plane wave on a regular grid is a product of three one-dimensional waves, so the sum is one matrix product.

    Parameters
    ----------
    rms : root mean square of the field.
    wavelengths_mm : shortest and longest wavelength.
    waves : number of plane waves.

    Returns
    -------
    (I, J, K) float32.
    """
    direction = rng.normal(size=(waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    number = 2 * np.pi / rng.uniform(*wavelengths_mm, size=waves)
    phase = rng.uniform(0, 2 * np.pi, waves)
    vectors = direction * number[:, None]
    steps = vectors @ grid.affine[:3, :3]
    start = vectors @ grid.affine[:3, 3] + phase
    amplitude = rms * np.sqrt(2 / waves)
    i, j, k = (np.exp(1j * np.outer(np.arange(n), steps[:, axis])) for axis, n in enumerate(grid.shape))
    plane = (i[:, None, :] * j[None, :, :] * (amplitude * np.exp(1j * start))).reshape(-1, waves)
    # Only the real part, as one product of real matrices.
    left = np.concatenate([plane.real, -plane.imag], axis=1).astype(np.float32)
    right = np.concatenate([k.real, k.imag], axis=1).astype(np.float32)
    field: NDArray[np.float32] = (left @ right.T).reshape(grid.shape)
    return field
