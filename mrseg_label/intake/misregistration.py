"""Find images of one scan that lie elsewhere than the one that readers open, and warn of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.intake.grouping import session_of
from mrseg_label.intake.images import PreparedGroup, PreparedImage
from mrseg_label.intake.sequences import most_preferred

if TYPE_CHECKING:
    from mrseg_label.imaging.registration import Displacement, Reference

MISREGISTERED = "seems to lie elsewhere"  # in every such warning


@dataclass
class _Scan:
    """Images on one grid that become the channels of one acquisition.

    Attributes
    ----------
    opened : file and sequence of the image that readers open, where the acquisition is in the catalogue.
    new : places in the group, by sequence.
    """

    geometry: Geometry
    sequences: set[str]
    opened: tuple[Path, str] | None = None
    new: dict[str, int] = field(default_factory=dict)


def warn_of_misregistration(
    group: PreparedGroup, workspace: OpenedWorkspace, preference: Sequence[str]
) -> PreparedGroup:
    """Mark the images of a scan that lie elsewhere than the one that readers open, with a warning.

    Parameters
    ----------
    preference : sequences to open, best first.
    """
    warnings: dict[int, str] = {}
    for scan in _scans(group, workspace):
        warnings |= _check(scan, group, preference)
    return [
        replace(image, warnings=(*image.warnings, warnings[index]), misregistration_suspected=True)
        if index in warnings and isinstance(image, PreparedImage)
        else image
        for index, image in enumerate(group)
    ]


def warning_of(sequence: str, found: Displacement) -> str:
    """Word the warning of an image that lies elsewhere than the one of a sequence."""
    return (
        f"it {MISREGISTERED} than the {sequence} image of its acquisition: {found}. No mask is propagated from or "
        "to it until it is decided: mrseg-label examinations edit ID --misregistration confirmed|none"
    )


def _scans(group: PreparedGroup, workspace: OpenedWorkspace) -> list[_Scan]:
    """Join the images of a group to acquisitions, as they will be recorded."""
    found: dict[tuple[str, str, str], list[_Scan]] = {}
    for index, image in enumerate(group):
        if not isinstance(image, PreparedImage) or image.file is None or image.geometry is None:
            continue
        named, grid = image.named, image.geometry
        if not named.stated or not named.sequence:
            continue
        key = (named.participant, named.session, named.station)
        if key not in found:
            found[key] = _stored(workspace, *key)
        joined = [scan for scan in found[key] if named.sequence not in scan.sequences and grid.matches(scan.geometry)]
        if not joined:
            joined = [_Scan(grid, set())]
            found[key] += joined
        joined[0].sequences.add(named.sequence)
        joined[0].new[named.sequence] = index
    return [scan for scans in found.values() for scan in scans if scan.new and len(scan.sequences) > 1]


def _stored(workspace: OpenedWorkspace, code: str, session_name: str, station: str) -> list[_Scan]:
    with workspace.catalog.read() as session:
        participant = participants.by_code(session, code)
        if participant is None:
            return []
        scans = []
        for acquisition in acquisitions.of_participant(session, participant.id, station):
            channels = {channel.id: channel for channel in acquisition.examinations}
            opened = channels.get(acquisition.primary_examination_id or "")
            if opened is None or session_of(acquisition) != session_name:
                continue
            if all(channel.sequence for channel in channels.values()):
                file = (workspace.path(opened.path), opened.sequence)
                sequences = {channel.sequence for channel in channels.values()}
                scans.append(_Scan(Geometry.from_json(opened.geometry), sequences, file))
        return scans


def _check(scan: _Scan, group: PreparedGroup, preference: Sequence[str]) -> dict[int, str]:
    """Compare the new images of a scan with the one that readers open; return warnings by place in the group."""
    from mrseg_label.imaging.registration import Reference  # SciPy behind it: not in every server that starts

    names = sorted(scan.new, key=scan.new.__getitem__)
    if scan.opened is None:
        first = names.pop(most_preferred(names, preference))
        scan.opened = (_file(group, scan.new[first]), first)
    opened, sequence = scan.opened
    reference: Reference | None = None
    warnings = {}
    try:
        for name in names:
            if reference is None:
                array, geometry, _ = load_image(opened)
                reference = Reference(array, geometry)
            array, geometry, _ = load_image(_file(group, scan.new[name]))
            found = reference.find_displacement(array) if geometry.matches(reference.geometry) else None
            if found is not None:
                warnings[scan.new[name]] = warning_of(sequence, found)
    except MrsegError:
        return warnings  # the files were checked before; what damaged them since is reported where they are used
    return warnings


def _file(group: PreparedGroup, index: int) -> Path:
    image = group[index]
    assert isinstance(image, PreparedImage)
    assert image.file is not None
    return image.file
