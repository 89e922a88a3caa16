"""Stations of a whole-body examination: Dixon scans in the order of their position, and repeats of a station."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom import Stack
from mrseg_label.imaging.dicom.volume import arrange
from mrseg_label.intake.dicom.dixon import DIXON

# Channels of one scan share its time; the next scan of the same place begins later than this.
_ONE_SCAN_SECONDS = 5.0
# Scans whose centres are closer than this fraction of their height are of the same station.
_SAME_STATION = 0.3


@dataclass(frozen=True)
class Station:
    """Station of a stack, and which of the scans of that station it belongs to, from 1."""

    name: str
    repeat: int = 1
    repeats: int = 1


@dataclass
class _Scan:
    geometry: Geometry
    members: list[tuple[int, Stack]] = field(default_factory=list)

    @property
    def centre(self) -> float:
        return float(self.geometry.corners_mm()[:, 2].mean())

    @property
    def height(self) -> float:
        z = self.geometry.corners_mm()[:, 2]
        return float(z.max() - z.min())

    @property
    def order(self) -> tuple[float, int]:
        return min((stack.first.acquired_seconds or 0.0, stack.first.number) for _, stack in self.members)


def find_stations(stacks: Sequence[Stack], sequences: Sequence[str]) -> dict[int, Station]:
    """Find the stations of the stacks of one study, by index; stacks that are no Dixon channels have none.

    ``station1`` is the uppermost. A single station has no name.

    Parameters
    ----------
    sequences : sequence type of each stack.
    """
    scans: list[_Scan] = []
    for index, stack in enumerate(stacks):
        if sequences[index] not in DIXON:
            continue
        try:
            geometry = arrange(stack.frames)[1]
        except MrsegError:
            continue  # refused with the reason when it is read
        scan = next((scan for scan in scans if scan.geometry.matches(geometry)), None)
        if scan is None:
            scan = _Scan(geometry)
            scans.append(scan)
        scan.members.append((index, stack))
    scans = [part for scan in scans for part in _split_repeats(scan, sequences)]
    stations: list[list[_Scan]] = []
    for scan in sorted(scans, key=lambda each: -each.centre):
        if stations and _same_station(stations[-1][0], scan):
            stations[-1].append(scan)
        else:
            stations.append([scan])
    found = {}
    for number, station in enumerate(stations, start=1):
        name = f"station{number}" if len(stations) > 1 else ""
        for repeat, scan in enumerate(sorted(station, key=lambda each: each.order), start=1):
            for index, _ in scan.members:
                found[index] = Station(name, repeat, len(station))
    return found


def _same_station(one: _Scan, other: _Scan) -> bool:
    return abs(one.centre - other.centre) < _SAME_STATION * max(min(one.height, other.height), 1.0)


def _split_repeats(scan: _Scan, sequences: Sequence[str]) -> list[_Scan]:
    """Split several scans on the same grid, by time where it is known, else in the order of the series."""
    channels = [sequences[index] for index, _ in scan.members]
    if len(set(channels)) == len(channels):
        return [scan]
    members = sorted(scan.members, key=lambda member: (member[1].first.acquired_seconds or 0.0, member[1].first.number))
    parts: list[_Scan] = []
    before: float | None = None
    for index, stack in members:
        moment = stack.first.acquired_seconds
        later = before is not None and moment is not None and moment - before > _ONE_SCAN_SECONDS
        repeated = bool(parts) and sequences[index] in {sequences[present] for present, _ in parts[-1].members}
        if not parts or later or repeated:
            parts.append(_Scan(scan.geometry))
        parts[-1].members.append((index, stack))
        before = moment
    return parts
