"""Read the stations of a participant together, as far as the reader may see them."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments, examinations, stations
from mrseg_label.catalog.queries.stations import Station
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.reports.blinding import hides_cases
from mrseg_label.reports.cases import examination_row
from mrseg_label.reports.documents.stations import StationOut
from mrseg_label.reports.neighbours import reads_alone
from mrseg_label.reports.viewing import may_open


def read_stations(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> list[StationOut]:
    """Read the stations of the session that an examination is of, from head to foot.

    Empty for a reader who must not know which case is which.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with workspace.catalog.read() as session:
        row = examination_row(session, examination_id)
        if hides_cases(workspace, reader):
            return []
        moment = workspace.catalog.now(session)
        found = stations.of_session(session, row, every=True)
        ids = [one.acquisition.id for one in found]
        states = examinations.states(session, ids, moment)
        finals = annotation_rows.finals(session, ids)
        waiting = {one: annotation_rows.awaiting_review(session, one) for one in ids}
        hidden = {one.acquisition.id for one in found if reads_alone(session, one.acquisition, reader)}
        holders = {one: assignments.open_of(session, one, moment) for one in ids}
    if row.acquisition_id in hidden:
        hidden = set(ids)  # who read the other stations may tell who read this one
    ends = [_ends(one) for one in found]
    documents = []
    for position, one in enumerate(found):
        case = one.acquisition
        mask, holder = finals.get(case.id) or waiting[case.id], holders[case.id]
        if case.id in hidden:
            mask = holder = None
        has_it = holder is not None and holder.blind is None
        who = (
            (holder.account or holder.client)
            if holder is not None and has_it
            else None
            if mask is None
            else mask.author
        )
        primary = _primary_of(one)
        below = ends[position + 1] if position + 1 < len(found) else None
        documents.append(
            StationOut(
                number=one.number,
                station=case.station,
                examination=primary.id,
                sequences=sorted({channel.sequence for channel in one.channels if channel.sequence}),
                requested=case.id == row.acquisition_id,
                state=states[case.id],
                reader=who if reader.sees_annotations_of in (None, who) else None,
                annotation_state=None if mask is None else mask.state,
                top_mm=ends[position][1],
                bottom_mm=ends[position][0],
                overlap_mm=None if below is None else round(below[1] - ends[position][0], 2),
                may_open=may_open(workspace, primary.id, reader),
            )
        )
    return documents


def _primary_of(station: Station) -> Examination:
    """Return the image of a station that readers open, or else its first."""
    wanted = station.acquisition.primary_examination_id
    return next((one for one in station.channels if one.id == wanted), station.channels[0])


def _ends(station: Station) -> tuple[float, float]:
    """Height of the lowest and of the highest voxel of a station, with half a voxel beyond their centres, RAS mm."""
    grid = Geometry.from_json(_primary_of(station).geometry)
    heights = grid.corners_mm()[:, 2]
    half = float(abs(grid.affine[2, :3]).sum()) / 2
    return round(float(heights.min()) - half, 2), round(float(heights.max()) + half, 2)
