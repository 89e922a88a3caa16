"""A worker process: ``python -m mrseg_label.worker --workspace DIR --queues drafts,light``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.jobs.queue import QUEUES
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace


def _end_with_parent() -> None:
    """Wait for the end of standard input, which is a pipe from the server, and die with everything started here."""
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Parse the arguments and work until told to stop."""
    parser = argparse.ArgumentParser(description="Work on the jobs of a workspace")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--queues", default=",".join(QUEUES))
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    if arguments.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    workspace = Workspace.open(arguments.workspace)
    opened = OpenedWorkspace.of(workspace, Catalog(workspace.database_url))
    opened.catalog.check_current()
    worker = Worker(opened, arguments.queues.split(","))
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C at the terminal is for the server, which then ends its workers
    worker.run()


if __name__ == "__main__":
    main()
