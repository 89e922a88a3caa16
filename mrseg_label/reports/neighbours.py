"""What the annotations of neighbouring stations have where they show the same part of the body as a case.

A structure that crosses the seam between two stations should go on in both, so a reader gets the neighbour's annotation at
hand, on the grid of the case. Nobody gets it who reads a case independently, or of whose case it was drawn that they get no draft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments, stations
from mrseg_label.catalog.queries.stations import Station
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.errors import NotFound
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.reports.blinding import hides_cases
from mrseg_label.reports.cases import examination_row
from mrseg_label.reports.masks import visible_annotations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = "neighbours"  # in place of the id of a mask


@dataclass(frozen=True)
class Neighbour:
    """An annotation of a station whose field of view overlaps that of a case.

    Attributes
    ----------
    geometry : its grid.
    text : what it is, for people.
    """

    annotation: Annotation
    geometry: Geometry
    text: str


def find_neighbours(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> list[Neighbour]:
    """Find the annotations of neighbouring stations that a reader of a case may see, from head to foot.

    Of each station the newest accepted one; where there is none, the newest that awaits review, if the reader may see it.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    hidden = hides_cases(workspace, reader)
    with workspace.catalog.read() as session:
        row = examination_row(session, examination_id)
        if hidden or reads_alone(session, row.acquisition, reader):
            return []
        grid = Geometry.from_json(row.geometry)
        found = []
        for station in stations.of_session(session, row):
            if station.acquisition.id == row.acquisition_id:
                continue
            annotation = _annotation_of(session, station, reader)
            if annotation is None or not workspace.path(annotation.path).is_file():
                continue
            geometry = Geometry.from_json(_drawn_on(station, annotation).geometry)
            if fields_meet(geometry, grid):
                found.append(Neighbour(annotation, geometry, _text(station, annotation, reader)))
        return found


def read_neighbours(
    workspace: OpenedWorkspace, examination_id: str, reader: Reader
) -> tuple[NDArray[np.uint8], Geometry, list[Neighbour]]:
    """Read what neighbouring stations have on the grid of an examination; labels are those of the nearest voxel, 0 elsewhere.

    Returns
    -------
    labels : (X, Y, Z) on the grid of the examination.
    geometry : that grid.
    neighbours : what they are of.

    Raises
    ------
    NotFound
        There is no such examination, or no neighbour's annotation that this reader may see.
    """
    import numpy as np

    from mrseg_label.imaging.orientation import from_canonical
    from mrseg_label.imaging.whole_body import layout_on, mask_slabs, upright
    from mrseg_label.segments.files import read_label_map

    found = find_neighbours(workspace, examination_id, reader)
    if not found:
        raise NotFound("no neighbouring station of this case has an annotation here that you may see")
    with workspace.catalog.read() as session:
        grid = Geometry.from_json(examination_row(session, examination_id).geometry)
    layout = layout_on(grid, [one.geometry for one in found])
    masks: list[NDArray[Any]] = []
    for one in found:
        labels, own = read_label_map(workspace.path(one.annotation.path), highest=len(workspace.scheme))
        own.require(one.geometry, f"the grid of annotation {one.annotation.id}, compared with that of its image,")
        masks.append(upright(labels, one.geometry))
    composed = np.concatenate(list(mask_slabs(layout, masks)), axis=2)
    return from_canonical(composed, "RAS", grid), grid, found


def pack_labels(workspace: OpenedWorkspace, labels: NDArray[np.uint8], geometry: Geometry) -> bytes:
    """Return a label map as the bytes of a NIfTI file."""
    from mrseg_label.imaging.volume import write_nifti

    with workspace.scratch("neighbours-") as scratch:
        write_nifti(scratch / "labels.nii.gz", labels, geometry)
        return (scratch / "labels.nii.gz").read_bytes()


def fields_meet(first: Geometry, second: Geometry) -> bool:
    """Whether the boxes around two grids share any voxel centre."""
    mine, others = first.corners_mm(), second.corners_mm()
    apart = (mine.max(axis=0) < others.min(axis=0)) | (others.max(axis=0) < mine.min(axis=0))
    return not bool(apart.any())


def reads_alone(session: Session, case: Acquisition, reader: Reader) -> bool:
    """Whether a reader has a case to read it independently of others, or without a draft."""
    assignment = assignments.newest(session, case.id, reader)
    if assignment is None or assignment.ended_at is not None:
        return False
    return assignment.second_reading or assignment.blind is not None or bool(assignment.draft_withheld)


def _annotation_of(session: Session, station: Station, reader: Reader) -> Annotation | None:
    case = station.acquisition
    if reads_alone(session, case, reader):
        return None
    accepted = annotation_rows.final(session, case.id)
    if accepted is not None:
        return accepted
    waiting = annotation_rows.awaiting_review(session, case.id)
    return None if waiting is None else next(iter(visible_annotations(session, case.id, [waiting], reader)), None)


def _drawn_on(station: Station, annotation: Annotation) -> Examination:
    return next((one for one in station.channels if one.id == annotation.examination_id), station.channels[0])


def _text(station: Station, annotation: Annotation, reader: Reader) -> str:
    by = f" by {annotation.author}" if reader.sees_annotations_of in (None, annotation.author) else ""
    state = "" if annotation.state is AnnotationState.ACCEPTED else ", awaiting review"
    return f"{station.acquisition.station or f'station {station.number}'}: annotation {annotation.number}{by}{state}"
