"""Read what those who keep a server running watch: jobs, drafts, workers, rounds, disk and backups."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, heartbeats, jobs, rounds
from mrseg_label.catalog.queries.jobs import KindCount
from mrseg_label.catalog.types import RoundState
from mrseg_label.reports.documents.jobs import WorkerOut
from mrseg_label.reports.workers import workers_at

BACKUP = "backup"  # in the audit trail


@dataclass(frozen=True)
class Operation:
    """The state of a workspace at one moment.

    Attributes
    ----------
    moment : by the database's clock.
    drafts_ready : cases that wait for a reader and have a draft.
    servers : name of each server and when it was alive last.
    last_backup : when the newest backup was complete.
    disk_free, disk_size : of the disk of the workspace, in bytes.
    """

    moment: datetime
    jobs: Sequence[KindCount]
    drafts_ready: int
    workers: Sequence[WorkerOut]
    servers: dict[str, datetime]
    rounds: dict[RoundState, int]
    last_backup: datetime | None
    disk_free: int
    disk_size: int


def read_operation(workspace: OpenedWorkspace) -> Operation:
    """Read the state of a workspace."""
    disk = shutil.disk_usage(workspace.root)
    with workspace.catalog.read() as session:
        moment = workspace.catalog.now(session)
        backups = audit.page(session, 1, actions=[BACKUP])
        return Operation(
            moment=moment,
            jobs=jobs.counts_by_kind(session),
            drafts_ready=acquisitions.count_ready(session, moment),
            workers=workers_at(session, moment),
            servers={row.name.removeprefix("server "): row.seen_at for row in heartbeats.all_of(session)},
            rounds=rounds.counts_by_state(session),
            last_backup=backups[0].at if backups else None,
            disk_free=disk.free,
            disk_size=disk.total,
        )
