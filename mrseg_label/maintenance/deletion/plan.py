"""What a deletion of participants would remove, what stands in its way, and what it cannot reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, erasure
from mrseg_label.errors import NotFound
from mrseg_label.maintenance.deletion import files
from mrseg_label.maintenance.deletion.finding import (
    Found,
    Holdings,
    Obstacles,
    find_obstacles,
    find_participants,
    take_stock,
)
from mrseg_label.maintenance.deletion.tombstones import BACKUP


@dataclass(frozen=True)
class Deletion:
    """What a deletion removes, or would remove, and what it cannot reach.

    Attributes
    ----------
    applied : whether it was done.
    counts : rows by what they are.
    bytes : size of the stored files.
    unknown : codes of the request that nobody has here.
    already : how many of the request were deleted before.
    obstacles : what makes it wait.
    trained_on : model versions that were trained on the participants.
    descended : versions whose training began with the weights of one of these.
    model_downloads : how often archives of these versions were downloaded.
    downloads : how often images, drafts or masks of the participants were downloaded.
    backups : backups that were made, with the moment.
    outside : source files that lie outside the workspace and stay.
    scratch : temporary folders of processes at work; what they hold goes within a day.
    lists : folders of backups that have the list of deleted participants.
    lists_missed : folders of backups where it could not be written.
    problem : why it would be refused now; None if it would not.
    """

    applied: bool
    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    unknown: tuple[str, ...] = ()
    already: int = 0
    obstacles: Obstacles = field(default_factory=Obstacles)
    trained_on: tuple[str, ...] = ()
    descended: tuple[str, ...] = ()
    model_downloads: int = 0
    downloads: int = 0
    backups: tuple[tuple[str, str], ...] = ()
    outside: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    lists_missed: tuple[str, ...] = ()
    problem: str | None = None


def plan(workspace: OpenedWorkspace, codes: Sequence[str]) -> Deletion:
    """Find out what a deletion would remove, and what it could not reach."""
    with workspace.catalog.read() as session:
        found = find_participants(session, workspace, codes)
        holdings = take_stock(session, found.participants, codes)
        return describe(session, workspace, found, holdings)


def check_named(workspace: OpenedWorkspace, codes: Sequence[str]) -> None:
    """Check that whoever is named in a request is here, or was deleted before.

    Raises
    ------
    NotFound
        Nobody has such a code.
    """
    with workspace.catalog.read() as session:
        unknown = find_participants(session, workspace, codes).unknown
    if unknown:
        raise NotFound(
            f"there is no participant {', '.join(unknown)}; mrseg-label participants list shows the codes. A list with --from "
            "may have others, who are then refused at an import"
        )


def describe(session: Session, workspace: OpenedWorkspace, found: Found, holdings: Holdings) -> Deletion:
    """Describe a deletion that is not done yet."""
    training = holdings.training
    versions = {*training.trained_on, *training.descended}
    stored = [workspace.path(path) for path in holdings.traces.files]
    named = {path.name for path in stored}
    obstacles = find_obstacles(session, workspace, holdings)
    return Deletion(
        applied=False,
        counts=holdings.counts,
        bytes=sum(path.lstat().st_size for path in stored if path.is_file()),
        unknown=found.unknown,
        already=found.already,
        obstacles=obstacles,
        problem=advise(obstacles) if blocks(obstacles, cancel=False) else None,
        trained_on=training.trained_on,
        descended=training.descended,
        model_downloads=erasure.downloads_of(session, {f"{version}.zip" for version in versions} | versions),
        downloads=erasure.downloads_of(session, named | holdings.traces.ids),
        backups=tuple(
            (event.subject, event.at.isoformat(timespec="seconds"))
            for event in audit.page(session, 1000, actions=[BACKUP])
        )
        if found.participants
        else (),
        outside=tuple(files.outside_of(workspace, holdings.sources)),
    )


def advise(obstacles: Obstacles, *, cancel: bool = False) -> str:
    """Say what stands in the way, and what to do."""
    parts = []
    if obstacles.rounds:
        parts.append(f"round {', '.join(map(str, obstacles.rounds))} trains on or is evaluated with these participants")
    if obstacles.jobs:
        parts.append(f"{len(obstacles.jobs)} running jobs work with their cases")
    if obstacles.readers:
        parts.append(f"a case of theirs is open at: {', '.join(obstacles.readers)}")
    how = (
        "their processes have not ended yet; call the same command again in a minute, or with a longer --wait"
        if cancel
        else "wait until that has ended (--wait MINUTES), or have it ended: --cancel cancels rounds and jobs and takes the cases back"
    )
    return f"nothing was deleted: {'; '.join(parts)}; {how}"


def blocks(obstacles: Obstacles, *, cancel: bool) -> bool:
    """Whether a deletion has to wait."""
    return bool(obstacles.rounds or obstacles.jobs or (obstacles.readers and not cancel))
