"""What a viewer shows of an examination, as far as the reader may see it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.draft_details import source_name
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, assignments, presegmentations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, Examination, Presegmentation
from mrseg_label.colors import Color
from mrseg_label.errors import Forbidden, NotFound, Unavailable
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.reports.cases import examination_row
from mrseg_label.reports.documents.viewing import (
    DifferencePlaceOut,
    DifferencesOut,
    MaskKind,
    ViewedImage,
    ViewedKind,
    ViewedMask,
    ViewedStructure,
    ViewOut,
)
from mrseg_label.reports.downloads import Download, find_image, find_stored
from mrseg_label.reports.masks import visible_annotations
from mrseg_label.reports.neighbours import find_neighbours, read_neighbours
from mrseg_label.worklist.resolving import resolve_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_MASKS = 50  # of each kind
MOST_PLACES = 500
# Of the kinds of mrseg_label.imaging.differences; none of them is a colour of the default scheme.
DIFFERENCE_COLORS: dict[int, Color] = {1: (255, 140, 0), 2: (0, 200, 255), 3: (255, 0, 200)}


def may_open(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> bool:
    """Whether a reader may open an examination, and its image is in its place.

    A radiologist may open only cases that are assigned to them.
    """
    with suppress(Forbidden, Unavailable):
        find_viewed_image(workspace, examination_id, reader)
        return True
    return False


def check_may_open(catalog: Catalog, examination_id: str, reader: Reader) -> None:
    """Raise unless a reader may open an examination, given by its id.

    Raises
    ------
    NotFound
        There is no such examination.
    Forbidden
        A radiologist may open only cases that are assigned to them.
    """
    with catalog.read() as session:
        examination_row(session, examination_id)  # an id, and neither a ticket nor a client's own name
    resolve_image(catalog, examination_id, reader)


def read_view(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> ViewOut:
    """Read what a viewer shows of an examination. Raises as :func:`check_may_open`."""
    check_may_open(workspace.catalog, examination_id, reader)
    with workspace.catalog.read() as session:
        row = examination_row(session, examination_id)
        channels = acquisitions.channels(session, row.acquisition_id)
        withheld = _is_withheld(session, row.acquisition_id, reader)
        drafts = [] if withheld else presegmentations.of_acquisition(session, row.acquisition_id, MOST_MASKS)
        best = None if withheld else presegmentations.best(session, row.acquisition_id)
        everything = annotation_rows.page_of_acquisition(session, row.acquisition_id, MOST_MASKS)
        visible = visible_annotations(session, row.acquisition_id, everything, reader)
        acquisition = row.acquisition
    drafts = [draft for draft in drafts if workspace.path(draft.path).is_file()]
    visible = [one for one in visible if workspace.path(one.path).is_file()]
    first, second = _chosen(drafts, best, visible)
    return ViewOut(
        examination=row.id,
        participant=acquisition.participant.code,
        station=acquisition.station,
        sequence=row.sequence,
        images=[
            ViewedImage(id=one.id, sequence=one.sequence, primary=one.id == acquisition.primary_examination_id)
            for one in sorted(channels, key=lambda one: one.id != row.id)
        ],
        masks=[_draft(draft) for draft in drafts] + [_annotation(one) for one in visible],
        hidden=reader.sees_annotations_of is None and len(visible) < len(everything),
        first=first,
        second=second,
        neighbours=[one.text for one in find_neighbours(workspace, row.id, reader)],
        structures=[
            ViewedStructure(id=one.id, name=one.name, shown_name=one.shown_name.replace("_", " "), color=one.color)
            for one in workspace.scheme
        ],
        differences=[ViewedKind(id=kind, color=color) for kind, color in DIFFERENCE_COLORS.items()],
    )


def read_visible_annotation_ids(catalog: Catalog, examination_id: str, reader: Reader) -> set[str]:
    """Read which annotations of an examination's acquisition a reader may see now. Raises :class:`NotFound`."""
    with catalog.read() as session:
        acquisition_id = examination_row(session, examination_id).acquisition_id
        rows = annotation_rows.page_of_acquisition(session, acquisition_id, 10 * MOST_MASKS)
        return {row.id for row in visible_annotations(session, acquisition_id, rows, reader)}


def read_viewed_neighbours(
    workspace: OpenedWorkspace, examination_id: str, reader: Reader
) -> tuple[NDArray[np.uint8], Geometry]:
    """Read what neighbouring stations have on the grid of an examination. Raises as :func:`check_may_open` and :func:`read_neighbours`."""
    check_may_open(workspace.catalog, examination_id, reader)
    labels, geometry, _ = read_neighbours(workspace, examination_id, reader)
    return labels, geometry


def find_viewed_image(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> Download:
    """Find the stored image of an examination. Raises as :func:`check_may_open`, and Unavailable."""
    check_may_open(workspace.catalog, examination_id, reader)
    return find_image(workspace, examination_id)


def find_viewed_mask(workspace: OpenedWorkspace, examination_id: str, mask_id: str, reader: Reader) -> Download:
    """Find a mask of an examination's acquisition: a pre-segmentation or an annotation.

    Raises
    ------
    NotFound
        It is no mask of that acquisition that this reader may see; one message for both.
    Forbidden
        As :func:`check_may_open`.
    Unavailable
        Its file is missing from the workspace.
    """
    check_may_open(workspace.catalog, examination_id, reader)
    with workspace.catalog.read() as session:
        row = _mask_row(session, examination_row(session, examination_id), mask_id, reader)
    if row is None:
        raise NotFound(f"{examination_id} has no mask {mask_id[:60]!r} that you may see")
    return find_stored(workspace, row)


def read_differences(
    workspace: OpenedWorkspace, examination_id: str, first_id: str, second_id: str, reader: Reader
) -> DifferencesOut:
    """Find where two masks of a case differ. Raises as :func:`find_viewed_mask`, and GeometryError."""
    from mrseg_label.imaging.differences import find_differences  # imported here: SciPy is behind it
    from mrseg_label.segments.files import read_label_map

    found = [find_viewed_mask(workspace, examination_id, mask, reader) for mask in (first_id, second_id)]
    (first, geometry), (second, other) = (read_label_map(one.path) for one in found)
    other.require(geometry, f"the grid of {second_id}, compared with that of {first_id},")
    places = find_differences(first, second, MOST_PLACES + 1)
    names = {one.id: one.shown_name.replace("_", " ") for one in workspace.scheme}
    ml = geometry.voxel_ml
    return DifferencesOut(
        first=first_id,
        second=second_id,
        places=[
            DifferencePlaceOut(
                structure=place.label,
                name=names.get(place.label, f"unknown label id {place.label}"),
                ml=place.voxels * ml,
                only_first_ml=place.only_first * ml,
                only_second_ml=place.only_second * ml,
                mm=_position(geometry, place.voxel),
            )
            for place in places[:MOST_PLACES]
        ],
        complete=len(places) <= MOST_PLACES,
    )


def _position(geometry: Geometry, voxel: tuple[int, int, int]) -> tuple[float, float, float]:
    x, y, z, _ = (geometry.affine @ (*voxel, 1)).tolist()
    return x, y, z


def _is_withheld(session: Session, acquisition_id: str, reader: Reader) -> bool:
    """Whether it was drawn that a reader gets no draft of the case that they have."""
    assignment = assignments.newest(session, acquisition_id, reader)
    return assignment is not None and bool(assignment.draft_withheld) and not reader.sees_every_case


def _mask_row(
    session: Session, examination: Examination, mask_id: str, reader: Reader
) -> Presegmentation | Annotation | None:
    if not mask_id.isprintable():
        return None
    draft = presegmentations.get(session, mask_id)
    if draft is not None and _is_withheld(session, examination.acquisition_id, reader):
        return None
    if draft is not None:
        return draft if draft.acquisition_id == examination.acquisition_id else None
    annotation = annotation_rows.get(session, mask_id)
    if annotation is None or annotation.acquisition_id != examination.acquisition_id:
        return None
    return next(iter(visible_annotations(session, annotation.acquisition_id, [annotation], reader)), None)


def _chosen(
    drafts: Sequence[Presegmentation], best: Presegmentation | None, annotations: Sequence[Annotation]
) -> tuple[str | None, str | None]:
    """Choose what is compared at first: the newest annotation with the draft that its reader started from."""
    ids = [draft.id for draft in drafts]
    newest = next(iter(annotations), None)
    if newest is None:
        return (best.id if best is not None and best.id in ids else next(iter(ids), None)), None
    started_from = newest.presegmentation_id if newest.presegmentation_id in ids else next(iter(ids), None)
    return (started_from, newest.id) if started_from is not None else (newest.id, None)


def _draft(row: Presegmentation) -> ViewedMask:
    by = source_name(row.model_version, row.source) if row.model_version == BOOTSTRAP else row.model_version
    return ViewedMask(id=row.id, kind=MaskKind.PRESEGMENTATION, text=f"Draft of {by}")


def _annotation(row: Annotation) -> ViewedMask:
    kind = "" if row.is_final else ", second reading"
    state = str(row.state).replace("_", " ")
    return ViewedMask(
        id=row.id, kind=MaskKind.ANNOTATION, text=f"Annotation {row.number} by {row.author} ({state}{kind})"
    )
