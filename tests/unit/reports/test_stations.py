"""The stations of a participant, and what neighbouring stations have on the grid of a case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation
from mrseg_label.catalog.types import AnnotationState, CaseState, Role
from mrseg_label.clock import now
from mrseg_label.errors import NotFound
from mrseg_label.reports.neighbours import find_neighbours, read_neighbours
from mrseg_label.reports.slices import Shown, SliceRequest, read_slice
from mrseg_label.reports.stations import read_stations
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import return_to_queue
from mrseg_label.workspace import Workspace
from tests.support.stations import AUTHOR, Stored, grid, store_station

ADA = Reader.signed_in("ada", Role.RADIOLOGIST)
RITA = Reader.signed_in("rita", Role.REVIEWER)
UPPER, LOWER = 1, 2  # label ids


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedWorkspace]:
    root = tmp_path_factory.mktemp("stations") / "ws"
    Workspace.init(root)
    opened = open_workspace(root)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(workspace: OpenedWorkspace) -> dict[str, Stored]:
    """The abdomen waits, the thorax above it is annotated, what lies below awaits review; another session is elsewhere."""
    found = {}
    for name, geometry, label, state in (
        ("pelvis", grid(0, 12), LOWER, AnnotationState.SUBMITTED),
        ("abdomen", grid(36, 10, axcodes="LPS"), None, AnnotationState.ACCEPTED),
        ("thorax", grid(65, 10, (3.0, 3.0, 5.0)), UPPER, AnnotationState.ACCEPTED),
    ):
        mask = None if label is None else np.full(geometry.shape, label, dtype=np.uint8)
        found[name] = store_station(workspace, "p1", name, geometry, mask=mask, state=state)
    mask = np.ones(grid(36, 10).shape, dtype=np.uint8)
    found["later"] = store_station(workspace, "p1", "abdomen", grid(36, 10), mask=mask, session_name="2")
    return found


def test_stations_are_listed_from_head_to_foot(workspace: OpenedWorkspace, stored: dict[str, Stored]) -> None:
    here = stored["abdomen"].examinations["water"]
    listed = read_stations(workspace, here, RITA)
    assert [(one.number, one.station, one.state) for one in listed] == [
        (1, "thorax", CaseState.ANNOTATED),
        (2, "abdomen", CaseState.WAITING),
        (3, "pelvis", CaseState.AWAITING_REVIEW),
    ]
    assert [one.requested for one in listed] == [False, True, False]
    assert [one.overlap_mm for one in listed] == [pytest.approx(11.5), pytest.approx(12), None]
    assert [one.reader for one in listed] == [AUTHOR, None, AUTHOR]
    assert [one.may_open for one in listed] == [True] * 3
    seen = read_stations(workspace, here, ADA)
    assert [(one.reader, one.may_open) for one in seen] == [(None, False)] * 3, "names and cases of others"
    with pytest.raises(NotFound):
        read_stations(workspace, "ex-none", RITA)


def test_the_neighbours_annotations_lie_on_the_grid_of_the_case(
    workspace: OpenedWorkspace, stored: dict[str, Stored]
) -> None:
    here = stored["abdomen"]
    labels, geometry, found = read_neighbours(workspace, here.examinations["water"], RITA)
    assert geometry == here.geometry and labels.shape == geometry.shape
    assert [one.text for one in found] == [
        f"thorax: annotation 1 by {AUTHOR}",
        f"pelvis: annotation 1 by {AUTHOR}, awaiting review",
    ]
    # Slices at 36, 40, ... 72 mm: the pelvis ends at 44, the thorax begins half a slice below 65.
    assert labels[3, 3].tolist() == [LOWER] * 3 + [0] * 4 + [UPPER] * 3
    assert (labels == labels[3, 3]).all()
    (only,) = find_neighbours(workspace, here.examinations["in"], ADA)
    assert only.text == "thorax: annotation 1", "neither what awaits review nor the name of another"
    request = SliceRequest(here.examinations["in"], shown=Shown.NEIGHBOURS, structure=UPPER, at=9)
    assert read_slice(workspace, request, RITA).labels_shown == {UPPER}
    with pytest.raises(NotFound, match="no neighbouring station"):
        read_neighbours(workspace, stored["later"].examinations["in"], RITA)


def test_nobody_sees_them_who_reads_independently(workspace: OpenedWorkspace, stored: dict[str, Stored]) -> None:
    here, above = stored["abdomen"], stored["thorax"]
    assert find_neighbours(workspace, here.examinations["in"], RITA)
    request_case(workspace, RITA, Purpose.SECOND_READ, above.acquisition)
    assert [one.text.split(":")[0] for one in find_neighbours(workspace, here.examinations["in"], RITA)] == ["pelvis"]
    assert find_neighbours(workspace, above.examinations["in"], RITA) == []
    assert [one.reader for one in read_stations(workspace, above.examinations["in"], RITA)] == [None] * 3
    assert [one.reader for one in read_stations(workspace, here.examinations["in"], RITA)] == [None, None, AUTHOR]
    return_to_queue(workspace.catalog, RITA, above.acquisition)
    assert len(find_neighbours(workspace, here.examinations["in"], RITA)) == 2
    with workspace.catalog.begin() as session:
        session.get_one(Acquisition, above.acquisition).excluded_at = now()
        row = session.query(Annotation).filter_by(acquisition_id=stored["pelvis"].acquisition).one()
        row.state = AnnotationState.REJECTED
    assert find_neighbours(workspace, here.examinations["in"], RITA) == []
    assert read_stations(workspace, here.examinations["in"], RITA)[0].state is CaseState.EXCLUDED


def test_a_file_that_is_missing_is_no_neighbour(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    lower = store_station(workspace, "p3", "pelvis", grid(0, 10))
    mask = np.ones(grid(28, 10).shape, dtype=np.uint8)
    upper = store_station(workspace, "p3", "abdomen", grid(28, 10), mask=mask)
    assert len(find_neighbours(workspace, lower.examinations["in"], RITA)) == 1
    workspace.path(f"annotations/{upper.acquisition}/0001.nii.gz").rename(tmp_path / "away.nii.gz")
    assert find_neighbours(workspace, lower.examinations["in"], RITA) == []
