"""A worker process: ``python -m mrseg_label.worker --workspace DIR --queues drafts,light``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.jobs.queue import QUEUES
from mrseg_label.processes import end_with_parent, lead_group
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace


def main() -> None:
    """Parse the arguments and work until SIGTERM."""
    parser = argparse.ArgumentParser(description="Run the jobs of a workspace")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--queues", default=",".join(QUEUES))
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    lead_group()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    if arguments.with_parent:
        end_with_parent()
    workspace = Workspace.open(arguments.workspace)
    opened = OpenedWorkspace.of(workspace, Catalog(workspace.database_url))
    opened.catalog.check_current()
    worker = Worker(opened, arguments.queues.split(","))
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    # Ctrl-C at the terminal is for the server, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.run()


if __name__ == "__main__":
    main()
