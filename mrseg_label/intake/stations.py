"""Stations of a whole-body examination: Dixon scans in the order of their position, repeats told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom import Stack
from mrseg_label.imaging.dicom.volume import arrange
from mrseg_label.intake.dicom_sequence import DIXON

# Channels of one scan share its time; a further scan of the same place begins later than this.
_ONE_SCAN_SECONDS = 5.0
# Scans whose middles lie closer than this part of their height are of the same station.
_SAME_STATION = 0.3


@dataclass(frozen=True)
class Place:
    """Station of a stack, and which scan of that station it belongs to, from 1."""

    station: str
    repeat: int = 1
    repeats: int = 1


@dataclass
class _Scan:
    geometry: Geometry
    members: list[tuple[int, Stack]] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return float(self.geometry.corners_mm()[:, 2].mean())

    @property
    def height(self) -> float:
        z = self.geometry.corners_mm()[:, 2]
        return float(z.max() - z.min())

    @property
    def order(self) -> tuple[float, int]:
        return min((stack.first.acquired_seconds or 0.0, stack.first.number) for _, stack in self.members)


def places(stacks: Sequence[Stack], names: Sequence[str]) -> dict[int, Place]:
    """Stations of the stacks of one study, by their index; others than Dixon channels are left out.

    ``station1`` is the uppermost. With one station alone it has no name.

    Parameters
    ----------
    names : sequence type of each stack.
    """
    scans: list[_Scan] = []
    for index, stack in enumerate(stacks):
        if names[index] not in DIXON:
            continue
        try:
            geometry = arrange(stack.frames)[1]
        except MrsegError:
            continue  # it is refused with its reason when it is read
        scan = next((scan for scan in scans if scan.geometry.matches(geometry)), None)
        if scan is None:
            scan = _Scan(geometry)
            scans.append(scan)
        scan.members.append((index, stack))
    scans = [part for scan in scans for part in _taken_apart(scan, names)]
    stations: list[list[_Scan]] = []
    for scan in sorted(scans, key=lambda each: -each.middle):
        if stations and _same_station(stations[-1][0], scan):
            stations[-1].append(scan)
        else:
            stations.append([scan])
    found = {}
    for number, station in enumerate(stations, start=1):
        name = f"station{number}" if len(stations) > 1 else ""
        for repeat, scan in enumerate(sorted(station, key=lambda each: each.order), start=1):
            for index, _ in scan.members:
                found[index] = Place(name, repeat, len(station))
    return found


def _same_station(one: _Scan, other: _Scan) -> bool:
    return abs(one.middle - other.middle) < _SAME_STATION * max(min(one.height, other.height), 1.0)


def _taken_apart(scan: _Scan, names: Sequence[str]) -> list[_Scan]:
    """Several scans on the same grid: by their times where those tell, else in the order of the series."""
    channels = [names[index] for index, _ in scan.members]
    if len(set(channels)) == len(channels):
        return [scan]
    members = sorted(scan.members, key=lambda member: (member[1].first.acquired_seconds or 0.0, member[1].first.number))
    parts: list[_Scan] = []
    before: float | None = None
    for index, stack in members:
        moment = stack.first.acquired_seconds
        later = before is not None and moment is not None and moment - before > _ONE_SCAN_SECONDS
        repeated = bool(parts) and names[index] in {names[present] for present, _ in parts[-1].members}
        if not parts or later or repeated:
            parts.append(_Scan(scan.geometry))
        parts[-1].members.append((index, stack))
        before = moment
    return parts
