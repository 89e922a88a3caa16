"""A worker process: ``python -m mrseg_label.worker --workspace DIR --queues drafts,light``."""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

from mrseg_label import logs
from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.jobs import requeue_of_dead_local_workers
from mrseg_label.jobs.queue import QUEUES
from mrseg_label.maintenance.heartbeat import WorkerHeartbeat
from mrseg_label.nnunet.devices import number_cards_as_the_driver
from mrseg_label.private import keep_private
from mrseg_label.processes import lead_group, replace_process, signals_as_bytes
from mrseg_label.worker.ending import Ending
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.worker")


def main() -> None:
    """Parse the arguments and work until told to end."""
    parser = argparse.ArgumentParser(description="Run the jobs of a workspace")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--queues", default=",".join(QUEUES))
    parser.add_argument(
        "--until-idle", type=float, metavar="SECONDS", help="end when there has been no job for so many seconds"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    lead_group()
    keep_private()
    number_cards_as_the_driver()
    # Ctrl-C at the terminal is for the server, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_as_bytes(signal.SIGTERM) as signals:
        ending = Ending(signals, with_parent=arguments.with_parent)
        workspace = Workspace.open(arguments.workspace)
        logs.configure(workspace.settings.log_format, others=logging.INFO)
        opened = OpenedWorkspace.of(workspace, Catalog(workspace.database_url))
        opened.catalog.check_current()
        requeue_of_dead_local_workers(opened.catalog)
        queues = arguments.queues.split(",")
        worker = Worker(opened, queues)
        heartbeat = WorkerHeartbeat(opened.catalog, queues)
        heartbeat.start()
        ending.attach(worker)
        if arguments.until_idle is None:
            worker.run()
        else:
            worker.run_until_idle(arguments.until_idle)
        heartbeat.stop()
        opened.close()
        if worker.is_worn:
            log.warning("memory was exhausted in this worker; a new process takes its place")
            replace_process()


if __name__ == "__main__":
    main()
