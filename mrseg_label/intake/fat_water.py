"""Find fat and water images of one scan that are swapped, and warn of it in both images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.intake.grouping import session_of
from mrseg_label.intake.images import PreparedGroup, PreparedImage

_COUNTERPART = {"water": "fat", "fat": "water"}


def warn_of_swaps(group: PreparedGroup, workspace: OpenedWorkspace) -> PreparedGroup:
    """Mark the fat and water images of a scan that look swapped, with a warning.

    An image whose counterpart is not in the group is compared with the one that was imported before, if there is one.
    """
    warnings: dict[int, str] = {}
    stored_ids: dict[int, str] = {}
    compared: set[int] = set()
    for (w, water), (f, fat) in product(_channels(group, "water"), _channels(group, "fat")):
        if (fat.named.session, fat.named.station) != (water.named.session, water.named.station):
            continue
        assert fat.file is not None
        assert water.file is not None
        compared |= {w, f}
        parts = _find_swapped_parts(fat.file, water.file)
        if parts:
            warnings[w] = warnings[f] = warning_of(parts)
    for sequence, counterpart in _COUNTERPART.items():
        for index, image in _channels(group, sequence):
            stored = _stored_channel(workspace, image, counterpart) if index not in compared else None
            if stored is None or image.file is None:
                continue
            stored_id, stored_file = stored
            files = {sequence: image.file, counterpart: stored_file}
            parts = _find_swapped_parts(files["fat"], files["water"])
            if parts:
                warnings[index] = f"{warning_of(parts)}; the {counterpart} image is {stored_id}, imported earlier"
                stored_ids[index] = stored_id
    return [
        replace(
            image,
            warnings=(*image.warnings, warnings[index]),
            swap_suspected=True,
            swapped_with=stored_ids.get(index, ""),
        )
        if index in warnings and isinstance(image, PreparedImage)
        else image
        for index, image in enumerate(group)
    ]


def warning_of(parts: Sequence[str]) -> str:
    """Word the warning of two images in parts of which fat and water look swapped."""
    return (
        f"fat and water look swapped ({', '.join(parts)}): the rim of the body is bright in the water image. Both images "
        "stay out of training until it is decided: mrseg-label examinations edit ID --swap confirmed|none"
    )


def swapped_parts_of(fat: tuple[NDArray[Any], Geometry], water: tuple[NDArray[Any], Geometry]) -> list[str]:
    """Name the parts in which fat and water look swapped, of two images that lie on one grid; none where they do not."""
    from mrseg_label.imaging.swaps import swapped_parts  # SciPy behind it: not in every server that starts

    return swapped_parts(fat[0], water[0], fat[1]) if fat[1].matches(water[1]) else []


def _channels(group: PreparedGroup, sequence: str) -> list[tuple[int, PreparedImage]]:
    return [
        (index, image)
        for index, image in enumerate(group)
        if isinstance(image, PreparedImage) and image.file is not None and image.named.sequence == sequence
    ]


def _find_swapped_parts(fat: Path, water: Path) -> list[str]:
    try:
        fat_array, geometry, _ = load_image(fat)
        water_array, water_geometry, _ = load_image(water)
    except MrsegError:
        return []  # both files were checked before; what damaged them since is reported where they are used
    return swapped_parts_of((fat_array, geometry), (water_array, water_geometry))


def _stored_channel(workspace: OpenedWorkspace, image: PreparedImage, sequence: str) -> tuple[str, Path] | None:
    """Return id and file of the stored channel of that sequence of the scan that an image is going to join."""
    named = image.named
    if not named.stated or image.geometry is None:
        return None
    with workspace.catalog.read() as session:
        participant = participants.by_code(session, named.participant)
        if participant is None:
            return None
        for acquisition in acquisitions.of_participant(session, participant.id, named.station):
            channels = {channel.sequence: channel for channel in acquisition.examinations}
            other = channels.get(sequence)
            if other is None or named.sequence in channels or session_of(acquisition) != named.session:
                continue
            if image.geometry.matches(Geometry.from_json(other.geometry)):
                return other.id, workspace.path(other.path)
    return None
