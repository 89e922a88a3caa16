"""Compare the images of stored acquisitions with each other, as an import compares those that it records.

Images that were imported before the import looked for misregistration and for exchanged fat and water were compared with none. What
is found now is suspected as at an import: the image gets a warning, and no mask is propagated to it until somebody decides. Annotations
stay as they are, and so does what somebody has decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import is_misregistered, settle
from mrseg_label.catalog.queries import acquisitions, audit, channels, examinations, participants
from mrseg_label.catalog.queries.channels import ChannelFilter
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.catalog.types import SwapState
from mrseg_label.errors import MrsegError, NotFound
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.intake import fat_water, misregistration
from mrseg_label.intake.channel_decisions import describe_masks, labelled_before
from mrseg_label.intake.sequences import most_preferred

_PAGE = 200
Progress = Callable[[int, int], None]
_Image = tuple[NDArray[Any], Geometry]


@dataclass(frozen=True)
class Suspicion:
    """What an image is suspected of.

    Attributes
    ----------
    what : ``misregistration`` or ``swap``, as the field of the examination.
    text : the warning.
    """

    examination: str
    sequence: str
    what: str
    text: str


@dataclass
class ComparedChannels:
    """What came of the images of an acquisition.

    Attributes
    ----------
    compared : number of images that were compared with another one.
    suspicions : those that are new.
    left : images that are suspected already, or that somebody has decided about; they stay as they are.
    notes : to which images the mask of the acquisition holds no longer.
    unreadable : ids of images with the reason.
    """

    acquisition: str
    participant: str
    station: str
    compared: int = 0
    suspicions: list[Suspicion] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def compare_channels(
    workspace: OpenedWorkspace,
    wanted: ChannelFilter,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Iterator[ComparedChannels]:
    """Compare the images of each acquisition that has several, in the order of their ids; each is recorded before the next one.

    Parameters
    ----------
    actor : name in the audit trail.
    dry_run : record nothing.
    progress : called with the number of acquisitions done and of all.

    Raises
    ------
    NotFound
        There is no such participant.
    """
    with workspace.catalog.read() as session:
        if wanted.participant is not None and participants.by_code(session, wanted.participant) is None:
            raise NotFound(
                f"there is no participant {wanted.participant[:60]!r}; list them with: mrseg-label participants list"
            )
        total = channels.count_with_several(session, wanted)
    done, after = 0, wanted.after
    while True:
        with workspace.catalog.read() as session:
            page = channels.with_several(session, ChannelFilter(wanted.participant, wanted.station, after), _PAGE)
        for acquisition in page:
            progress(done, total)
            found = _compare(workspace, acquisition)
            if found is not None:
                if found.suspicions and not dry_run:
                    _record(workspace, found, actor)
                yield found
            done += 1
        if len(page) < _PAGE:
            progress(done, max(done, total))
            return
        after = page[-1]


def _compare(workspace: OpenedWorkspace, acquisition_id: str) -> ComparedChannels | None:
    """Look at the images of an acquisition; None if it is not there any more."""
    with workspace.catalog.read() as session:
        acquisition = acquisitions.get(session, acquisition_id)
        if acquisition is None:
            return None
        rows = list(acquisitions.channels(session, acquisition_id))
        found = ComparedChannels(acquisition_id, acquisition.participant.code, acquisition.station)
        opened = _reference(acquisition, rows)
    images: dict[str, _Image] = {}
    for row in rows:
        try:
            workspace.verify(row.path, row.digest)
            array, geometry, _ = load_image(workspace.path(row.path))
        except (MrsegError, OSError) as error:
            found.unreadable.append((row.id, str(error)))
        else:
            images[row.id] = (array, geometry)
    compared = _find_misregistered(found, rows, opened, images) | _find_swapped(found, rows, images)
    found.compared = len(compared)
    return found


def _reference(acquisition: Acquisition, rows: Sequence[Examination]) -> Examination:
    """The image that the others are compared with: the one that readers open, unless that one lies elsewhere itself."""
    usable = [row for row in rows if not is_misregistered(row)] or list(rows)
    primary = next((row for row in usable if row.id == acquisition.primary_examination_id), None)
    return primary or usable[most_preferred([row.sequence for row in usable])]


def _find_misregistered(
    found: ComparedChannels, rows: Sequence[Examination], opened: Examination, images: Mapping[str, _Image]
) -> set[str]:
    """Add the images that lie elsewhere than the one that readers open; return the ids of those that were compared."""
    if opened.id not in images:
        return set()
    from mrseg_label.imaging.registration import Reference  # SciPy behind it: not in every command that starts

    reference: Reference | None = None
    compared: set[str] = set()
    for row in rows:
        if row.id == opened.id or row.id not in images:
            continue
        array, geometry = images[row.id]
        if row.misregistration is not None:
            found.left.append(row.id)
        elif geometry.matches(images[opened.id][1]):
            reference = reference or Reference(*images[opened.id])
            displacement = reference.find_displacement(array)
            compared.update((row.id, opened.id))
            if displacement is not None:
                text = misregistration.warning_of(opened.sequence, displacement)
                found.suspicions.append(Suspicion(row.id, row.sequence, "misregistration", text))
    return compared


def _find_swapped(found: ComparedChannels, rows: Sequence[Examination], images: Mapping[str, _Image]) -> set[str]:
    """Add the fat and water images that look exchanged; return the ids of those that were compared."""
    compared: set[str] = set()
    for water in (row for row in rows if row.sequence == "water" and row.id in images):
        for fat in (row for row in rows if row.sequence == "fat" and row.id in images):
            if water.swap is not None or fat.swap is not None:
                found.left += [row.id for row in (water, fat) if row.id not in found.left]
                continue
            parts = fat_water.swapped_parts_of(images[fat.id], images[water.id])
            compared.update((water.id, fat.id))
            if parts:
                text = fat_water.warning_of(parts)
                found.suspicions += [Suspicion(row.id, row.sequence, "swap", text) for row in (water, fat)]
    return compared


def _record(workspace: OpenedWorkspace, found: ComparedChannels, actor: str) -> None:
    """Suspect images in the catalogue, where nobody has decided about them meanwhile."""
    with workspace.catalog.begin() as session:
        participants.lock_imports(session)
        marked = [one for one in found.suspicions if _suspect(session, found.acquisition, one, actor)]
        found.suspicions = marked
        if not marked:
            return
        first = examinations.get(session, marked[0].examination)
        assert first is not None
        before = labelled_before(first)
        settle(session, first.acquisition)
        found.notes += describe_masks(first, before)


def _suspect(session: Session, acquisition: str, one: Suspicion, actor: str) -> bool:
    row = examinations.get(session, one.examination)
    if row is None or row.acquisition_id != acquisition or getattr(row, one.what) is not None:
        return False
    state = Misregistration.SUSPECTED if one.what == "misregistration" else SwapState.SUSPECTED
    setattr(row, one.what, state)
    if one.text not in row.warnings:
        row.warnings = [*row.warnings, one.text]
    audit.record(session, actor, "examination.suspect", row.id, changes={one.what: [None, state.value]})
    return True
