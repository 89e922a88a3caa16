"""The grid of an image: its shape and affine, checked once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nibabel.orientations as nibo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrseg_label.axis_codes import parse_axcodes, world_axis
from mrseg_label.errors import GeometryError

Affine = NDArray[np.float64]
Shape = tuple[int, int, int]

# Direction cosines that deviate by more than this are a shear, which programs interpret differently.
SHEAR_TOLERANCE = 5e-3
# Smaller deviations are rounding (NIfTI stores float32) and are corrected without a warning.
ROUNDING_TOLERANCE = 1e-5
# Two grids are the same if no corner voxel is farther than this from its counterpart, in units of the smallest
# spacing. Rounding of float32 headers and of quaternions stays below 0.005.
CORNER_TOLERANCE_VOXELS = 0.02
SPACING_RANGE_MM = (1e-2, 1e2)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of an image.

    Attributes
    ----------
    shape : number of voxels (X, Y, Z), file axis order.
    affine : (4, 4) float64, read-only; from voxel index (i, j, k, 1) to RAS mm; its columns are orthogonal.
    """

    shape: Shape
    affine: Affine

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"an image needs three axes of at least one voxel; this one has the shape {shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise GeometryError(f"an affine must be 4 x 4 and finite with the last row 0 0 0 1, not {affine.tolist()}")
        _check_spacing(np.linalg.norm(affine[:3, :3], axis=0))
        deviation = orthonormal_deviation(affine)
        if deviation > SHEAR_TOLERANCE:
            raise GeometryError(
                f"the axes are sheared: the direction cosines deviate by {deviation:.2g} in {affine.tolist()}"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        """Compare bit by bit; use :meth:`matches` for grids that were stored in files."""
        if not isinstance(other, Geometry):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    def __str__(self) -> str:
        rows = "; ".join(" ".join(f"{value:.5g}" for value in row) for row in self.affine[:3])
        spacing = " x ".join(f"{value:.5g}" for value in self.spacing_mm)
        return f"{' x '.join(map(str, self.shape))} voxels of {spacing} mm, axes {self.axcodes}, affine [{rows}]"

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along each axis, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @cached_property
    def axcodes(self) -> str:
        """Nearest anatomical direction of each axis, for example ``"LPS"``: towards left, posterior, superior."""
        return axcodes_of(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000

    def corners_mm(self) -> NDArray[np.float64]:
        """RAS coordinates of the centres of the eight corner voxels, shape (8, 3), mm."""
        indices = np.array(list(itertools.product(*((0, n - 1) for n in self.shape))), dtype=np.float64)
        moved: NDArray[np.float64] = indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        return moved

    def difference(self, other: Geometry, tolerance_voxels: float = CORNER_TOLERANCE_VOXELS) -> str | None:
        """Describe how two grids differ, with both geometries; None if they are the same.

        They are the same if the shapes are equal and no corner voxel is farther than ``tolerance_voxels`` (in units
        of the smallest spacing) from its counterpart. This one criterion covers spacing, origin and direction, each
        by how far it moves a voxel.
        """
        if self.shape != other.shape:
            what = "the number of voxels differs"
        else:
            distance = float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())
            if distance <= tolerance_voxels * min(*self.spacing_mm, *other.spacing_mm):
                return None
            what = f"corner voxels are up to {distance:.3g} mm apart"
        return f"{what}: {self}, against {other}"

    def matches(self, other: Geometry, tolerance_voxels: float = CORNER_TOLERANCE_VOXELS) -> bool:
        """Whether two grids are the same within the tolerance of :meth:`difference`."""
        return self.difference(other, tolerance_voxels) is None

    def require(self, other: Geometry, what: str) -> None:
        """Raise :class:`GeometryError` naming ``what`` and both geometries unless the grids are the same."""
        difference = self.difference(other)
        if difference is not None:
            raise GeometryError(f"{what}: {difference}")

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; spacing and axis codes are for information and are not read back."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "spacing_mm": list(self.spacing_mm),
            "axcodes": self.axcodes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Geometry:
        """Convert from the values of :meth:`to_json`; only ``shape`` and ``affine`` are read.

        Raises
        ------
        GeometryError
            A key is missing, or a value is invalid.
        """
        try:
            shape = tuple(int(n) for n in data["shape"])
            affine = np.array(data["affine"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise GeometryError(f"a geometry needs a valid shape and affine: {error!r}") from error
        return cls(shape, affine)  # type: ignore[arg-type]  # the length is checked in __post_init__


def axcodes_of(affine: ArrayLike) -> str:
    """Return the axis codes of an affine, for example ``"RAS"``."""
    return "".join(code or "?" for code in nibo.ornt2axcodes(orientation_of(affine)))


def orientation_of(affine: ArrayLike) -> NDArray[np.float64]:
    """Find the nearest world axis of each image axis, and its direction, in the form of ``nibabel.orientations``.

    nibabel's own function decides by the order of the axes where two are equally near (an image that is tilted by 45
    degrees). Here an image gets the same world axes in whatever order and direction its axes are stored.
    """
    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    directions = (columns / np.where(lengths > 0, lengths, 1)).round(6)
    leading = directions[(directions != 0).argmax(axis=0), range(3)]
    signs = np.where(leading < 0, -1.0, 1.0)
    order = np.lexsort((directions * signs)[::-1])
    ordered = np.eye(4)
    ordered[:3, :3] = (directions * signs)[:, order]
    orientation = np.empty((3, 2))
    orientation[order] = nibo.io_orientation(ordered)
    orientation[:, 1] *= signs
    return orientation


def stated_affine(axcodes: str, spacing_mm: Sequence[float], shape: Sequence[int]) -> Affine:
    """Make the affine of a file that has no orientation from stated axis codes; the origin is the image centre."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(parse_axcodes(axcodes)):
        affine[world_axis(code), axis] = spacing_mm[axis] * (1 if code in "RAS" else -1)
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape, dtype=np.float64) - 1) / 2)
    return affine


def orthonormal_deviation(affine: Affine) -> float:
    """Compute the largest difference between the direction cosines and the nearest orthonormal ones."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(directions - nearest_orthonormal(directions)).max())


def nearest_orthonormal(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the orthonormal matrix nearest to ``directions`` (3, 3) in the Frobenius norm, with the same handedness.

    References
    ----------
    Higham NJ. Computing the polar decomposition, with applications. SIAM J Sci Stat Comput 1986;7:1160.
    https://doi.org/10.1137/0907079
    """
    left, _, right = np.linalg.svd(directions)
    nearest: NDArray[np.float64] = left @ right
    return nearest


def resolve_affine(affine: ArrayLike) -> tuple[Affine, list[str]]:
    """Make the axes of an affine orthogonal.

    Parameters
    ----------
    affine : (4, 4), from voxel index to RAS mm.

    Returns
    -------
    affine : with orthonormal direction cosines; spacing and origin are unchanged.
    warnings : corrections that were made.

    Raises
    ------
    GeometryError
        The affine is not finite, a spacing is outside of ``SPACING_RANGE_MM``, or the axes are sheared by more than
        ``SHEAR_TOLERANCE``.
    """
    resolved = np.array(affine, dtype=np.float64)
    if resolved.shape != (4, 4) or not np.isfinite(resolved).all():
        raise GeometryError(f"the affine is not finite: {resolved.tolist()}")
    spacing = np.linalg.norm(resolved[:3, :3], axis=0)
    _check_spacing(spacing)
    directions = resolved[:3, :3] / spacing
    nearest = nearest_orthonormal(directions)
    deviation = float(np.abs(directions - nearest).max())
    if deviation > SHEAR_TOLERANCE:
        raise GeometryError(
            f"the axes are sheared: the direction cosines deviate by {deviation:.2g} from orthonormal ones "
            f"(at most {SHEAR_TOLERANCE:g} is allowed); resample the image to an orthogonal grid"
        )
    resolved[:3, :3] = nearest * spacing
    if deviation <= ROUNDING_TOLERANCE:
        return resolved, []
    return resolved, [
        f"direction cosines deviated by {deviation:.2g} and were replaced by the nearest orthonormal ones"
    ]


def _check_spacing(spacing: NDArray[np.float64]) -> None:
    low, high = SPACING_RANGE_MM
    if not np.isfinite(spacing).all() or spacing.min() < low or spacing.max() > high:
        raise GeometryError(
            f"the spacing is {' x '.join(f'{value:.4g}' for value in spacing)} mm; "
            f"each must be between {low:g} and {high:g} mm"
        )
