"""Solid shapes, described by approximate signed distances in mm, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[np.float32]


class Shape(Protocol):
    """A solid with an extent and a distance to its surface."""

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and upper corner of the bounding box, each (3,) mm."""

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Compute the signed distance to the surface at the given points, mm."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid.

    Attributes
    ----------
    center : (3,) mm.
    semi_axes : (3,) mm, along the columns of ``axes``.
    axes : (3, 3) orthonormal columns.
    """

    center: NDArray[np.float64]
    semi_axes: NDArray[np.float64]
    axes: NDArray[np.float64]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        reach = np.sqrt(((self.axes * self.semi_axes) ** 2).sum(axis=1))
        return self.center - reach, self.center + reach

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        dx, dy, dz = (p - np.float32(c) for p, c in zip((x, y, z), self.center, strict=True))
        level = np.zeros_like(dx)
        gradient = np.zeros_like(dx)
        for axis, semi in zip(self.axes.T.astype(np.float32), self.semi_axes.astype(np.float32), strict=True):
            q = (axis[0] * dx + axis[1] * dy + axis[2] * dz) / semi
            level += q * q
            gradient += (q / semi) ** 2
        norm = np.sqrt(level)
        distance: Array = norm * (norm - 1) / np.maximum(np.sqrt(gradient), np.float32(1e-6))
        # At the centre both terms vanish; the distance there is minus the shortest semi-axis.
        return np.where(norm < 1e-3, -np.float32(self.semi_axes.min()), distance)


@dataclass(frozen=True)
class Tube:
    """A chain of capsules whose radius changes linearly along each.

    Attributes
    ----------
    points : (N, 3) mm.
    radii : (N,) mm.
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (self.points - self.radii[:, None]).min(axis=0), (self.points + self.radii[:, None]).max(axis=0)

    def capsules(self) -> list[Tube]:
        """Split the tube into its segments, so that each can be evaluated in its own small box."""
        return [Tube(self.points[k : k + 2], self.radii[k : k + 2]) for k in range(len(self.points) - 1)]

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        best = np.full(x.shape, np.inf, dtype=np.float32)
        for start, end, r0, r1 in zip(self.points[:-1], self.points[1:], self.radii[:-1], self.radii[1:], strict=True):
            d = (end - start).astype(np.float32)
            px, py, pz = x - np.float32(start[0]), y - np.float32(start[1]), z - np.float32(start[2])
            t = np.clip((px * d[0] + py * d[1] + pz * d[2]) / np.float32(max(float(d @ d), 1e-6)), 0, 1)
            px -= t * d[0]
            py -= t * d[1]
            pz -= t * d[2]
            np.minimum(
                best, np.sqrt(px * px + py * py + pz * pz) - (np.float32(r0) + t * np.float32(r1 - r0)), out=best
            )
        return best


@dataclass(frozen=True)
class Column:
    """A stack of ellipses along z, given at some heights and linear between them.

    Attributes
    ----------
    heights : (N,) z in mm, ascending.
    centers : (N, 2) x, y in mm.
    semi_axes : (N, 2) mm.
    """

    heights: NDArray[np.float64]
    centers: NDArray[np.float64]
    semi_axes: NDArray[np.float64]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low = (self.centers - self.semi_axes).min(axis=0)
        high = (self.centers + self.semi_axes).max(axis=0)
        return np.append(low, self.heights[0]), np.append(high, self.heights[-1])

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        cx, cy, a, b = (lookup(self.heights, v, z) for v in (*self.centers.T, *self.semi_axes.T))
        u, v = (x - cx) / a, (y - cy) / b
        norm = np.sqrt(u * u + v * v)
        gradient = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        side = norm * (norm - 1) / np.maximum(gradient, np.float32(1e-6))
        side = np.where(norm < 1e-3, -np.minimum(a, b), side)
        ends = np.maximum(np.float32(self.heights[0]) - z, z - np.float32(self.heights[-1]))
        return np.maximum(side, ends).astype(np.float32)


def lookup(
    heights: Sequence[float] | NDArray[np.float64], values: Sequence[float] | NDArray[np.float64], z: Array
) -> Array:
    """Evaluate a piecewise linear function of z by a table in steps of 0.5 mm, much faster than ``np.interp``."""
    low = float(np.asarray(heights)[0])
    high = float(np.asarray(heights)[-1])
    steps = np.arange(low, high + 0.5, 0.5)
    table = np.interp(steps, heights, values).astype(np.float32)
    index = np.clip((z - np.float32(low)) * 2 + 0.5, 0, len(steps) - 1).astype(np.int32)
    found: Array = table[index]
    return found


def ellipsoid(center: ArrayLike, semi_axes: ArrayLike, axes: NDArray[np.float64] | None = None) -> Ellipsoid:
    """Make an ellipsoid; its axes are x, y and z by default."""
    return Ellipsoid(np.asarray(center, float), np.asarray(semi_axes, float), np.eye(3) if axes is None else axes)


def tube(points: ArrayLike, radii: float | Sequence[float] | NDArray[np.float64], step: float = 0.0) -> Tube:
    """Make a tube through points; with ``step`` (mm), smoothed by a cubic spline with nodes at about that distance."""
    nodes = np.asarray(points, float)
    r = np.broadcast_to(np.asarray(radii, float), len(nodes)).copy()
    if step > 0 and len(nodes) > 2:
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
        at = np.linspace(0, length[-1], max(2, round(length[-1] / step) + 1))
        nodes, r = CubicSpline(length, nodes)(at), np.interp(at, length, r)
    return Tube(nodes, r)


def frame(first: Sequence[float], third: Sequence[float]) -> NDArray[np.float64]:
    """Make orthonormal axes (columns) from the first one and the approximate direction of the third."""
    u = np.asarray(first, float) / np.linalg.norm(first)
    w = np.asarray(third, float) - (np.asarray(third, float) @ u) * u
    w /= np.linalg.norm(w)
    return np.stack([u, np.cross(w, u), w], axis=1)
