"""Figures of model versions on held-out cases, from arrays: whatever they are grouped by, each is a mean over cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.queries.learning import HeldOutChannel
from mrseg_label.metrics.bootstrap import Mean, mean_of_arrays
from mrseg_label.reports.documents.learning_curve import Origin

_ORIGINS = tuple(Origin)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Figures of one version over some cases and structures.

    Attributes
    ----------
    case_dsc : each case's mean, by (sorted) case.
    images, propagated_images : channels that were judged, and those of them whose annotation was drawn on another one.
    """

    dsc: Mean
    hd95_mm: Mean
    infinite_hd95: int
    nsd: Mean
    origins: Mapping[Origin, Mean]
    case_dsc: Array
    participants: NDArray[np.intp]
    images: int
    propagated_images: int


class Scores:
    """The scores of one version by channel and structure.

    Attributes
    ----------
    keys : case and examination of each channel, in a fixed order.
    dsc, hd95_mm, nsd : (channels, structures); NaN where there is none, HD95 infinite where the model has none of it.
    """

    def __init__(
        self,
        version: str,
        channels: Sequence[HeldOutChannel],
        names: Sequence[str],
        people: Mapping[str, int],
        mixed: Mapping[tuple[str, str], str],
    ) -> None:
        self.keys = [(one.case, one.examination) for one in channels]
        self.dsc = _matrix([one.dsc for one in channels], names)
        self.nsd = _matrix([one.nsd or {} for one in channels], names)
        self.hd95_mm = _matrix(
            [
                {name: math.inf if value is None else value for name, value in (one.hd95_mm or {}).items()}
                for one in channels
            ],
            names,
        )
        self._channels = channels
        self._restriction: tuple[set[tuple[str, str]], bool] | None = None
        self._people = np.array([people[one.participant] for one in channels], dtype=np.intp)
        drafted = (
            [[mixed.get((one.case, name), one.began_from) for name in names] for one in channels] if mixed else None
        )
        whole = [_origin(one.began_from, version) for one in channels]
        self._origin_of_case = np.array(whole, dtype=np.intp)
        self._origin = (
            np.repeat(self._origin_of_case[:, np.newaxis], len(names), axis=1)
            if drafted is None
            else np.array([[_origin(one, version) for one in row] for row in drafted], dtype=np.intp)
        )

    def where(self, station: str | None = None, sequence: str | None = None) -> NDArray[np.bool_]:
        """Mark the channels of a station and a sequence; None is every one."""
        return np.array(
            [
                (station is None or one.station == station) and (sequence is None or one.sequence == sequence)
                for one in self._channels
            ],
            dtype=np.bool_,
        )

    def are_all(self, common: set[tuple[str, str]], counted: Mapping[tuple[str, str], NDArray[np.bool_]]) -> bool:
        """Whether nothing is left out by a restriction to some channels and to what counts in each of them."""
        if self._restriction is None or self._restriction[0] is not common:
            rows = zip(self.keys, np.isfinite(self.dsc), strict=True)
            self._restriction = common, all(key in common and np.array_equal(counted[key], row) for key, row in rows)
        return self._restriction[1]

    def figures(
        self, channels: NDArray[np.bool_], structures: NDArray[np.intp], counted: NDArray[np.bool_] | None = None
    ) -> Figures:
        """Compute the figures over some channels and structures.

        Parameters
        ----------
        channels : (channels,) which.
        structures : indices of structures.
        counted : (channels, structures of the scheme) what counts, of what has a DSC; by default all.
        """
        chosen = np.flatnonzero(channels)
        cases = [self.keys[k][0] for k in chosen]
        starts = np.array([k for k, case in enumerate(cases) if k == 0 or case != cases[k - 1]], dtype=np.intp)
        people = self._people[chosen][starts] if len(starts) else np.zeros(0, dtype=np.intp)
        rows = np.ix_(chosen, structures)
        off = ~np.isfinite(self.dsc[rows])
        if counted is not None:
            off |= ~counted[rows]
        dsc, nsd, hd95 = (
            _over_channels(np.where(off, np.nan, values[rows]), starts) for values in (self.dsc, self.nsd, self.hd95_mm)
        )
        case_dsc = _row_means(dsc)
        if len(structures) == 1:
            origin = self._origin[rows][starts, 0] if len(starts) else np.zeros(0, dtype=np.intp)
        else:
            origin = self._origin_of_case[chosen][starts] if len(starts) else np.zeros(0, dtype=np.intp)
        return Figures(
            dsc=mean_of_arrays(people, case_dsc),
            hd95_mm=mean_of_arrays(people, _row_means(np.where(np.isinf(hd95), np.nan, hd95))),
            infinite_hd95=int(np.isinf(hd95).sum()),
            nsd=mean_of_arrays(people, _row_means(nsd)),
            origins={one: mean_of_arrays(people[origin == k], case_dsc[origin == k]) for k, one in enumerate(_ORIGINS)},
            case_dsc=case_dsc,
            participants=people,
            images=len(chosen),
            propagated_images=sum(self._channels[k].propagated for k in chosen),
        )


def shared(versions: Sequence[Scores]) -> tuple[set[tuple[str, str]], Mapping[tuple[str, str], NDArray[np.bool_]]]:
    """Find the channels that all versions were evaluated on, and which structures count in all of them."""
    if not versions:
        return set(), {}
    common = set(versions[0].keys).intersection(*(one.keys for one in versions[1:]))
    counted: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for one in versions:
        for key, row in zip(one.keys, np.isfinite(one.dsc), strict=True):
            if key in common:
                counted[key] = counted[key] & row if key in counted else row
    return common, counted


def _matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
    values = [[row.get(name, math.nan) for name in names] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(names))


def _origin(drafted: str | None, version: str) -> int:
    return _ORIGINS.index(Origin.NOTHING if drafted is None else Origin.OWN if drafted == version else Origin.OTHER)


def _over_channels(values: Array, starts: NDArray[np.intp]) -> Array:
    """Mean over the channels of each case, which lie one behind the other: (cases, structures); NaN is left out."""
    if not len(starts):
        return np.zeros((0, values.shape[1]))
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, starts, axis=0, dtype=np.float64)
    totals = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    means: Array = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means


def _row_means(values: Array) -> Array:
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    totals = np.where(known, values, 0.0).sum(axis=1)
    means: Array = np.divide(totals, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return means
