"""A workspace with waiting cases, for tests of the worklist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Assignment
from mrseg_label.catalog.types import AssignmentOutcome
from mrseg_label.clock import now
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant


def make_queue(folder: Path, settings: str = "") -> Iterator[OpenedWorkspace]:
    """An opened workspace without cases, for a fixture."""
    Workspace.init(folder / "ws", settings_text=f'AUTH = "off"\nROUND_SIZE = 8\n{settings}')
    with closing(open_workspace(folder / "ws")) as workspace:
        yield workspace


def fill(catalog: Catalog, count: int, stations: tuple[str, ...] = ("abdomen", "pelvis")) -> None:
    """Add waiting cases of some participants, one at each station."""
    with catalog.begin() as session:
        for index in range(count):
            participant = add_participant(session, f"P{index:02d}")
            for station in stations:
                add_acquisition(session, participant, station=station).shuffle = (index * 7 % 24) / 24


def take(
    workspace: OpenedWorkspace, strategy: str = "balanced", client: str = "user-xyz", user: str | None = None
) -> AssignedCase:
    """Assign the next case to a reader."""
    case = assign_next_case(workspace, Reader(client, user), strategy)
    assert case is not None
    return case


def take_several(
    workspace: OpenedWorkspace, count: int, client: str = "user-xyz", user: str = "ada"
) -> list[AssignedCase]:
    """Assign several cases to a signed-in reader, who asks again whenever the case before comes back."""
    cases = [take(workspace, client=client, user=user) for _ in range(2 * count - 1)]
    return cases[::2]


def annotate(catalog: Catalog, case: AssignedCase) -> None:
    """Annotate an assigned case."""
    with catalog.begin() as session:
        add_annotation(session, session.get_one(Acquisition, case.acquisition_id))
        assignment = session.query(Assignment).filter_by(ticket=case.ticket).one()
        assignment.ended_at, assignment.outcome = now(), AssignmentOutcome.SUBMITTED
