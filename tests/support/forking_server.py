"""The server of ``mrseg-label serve``, started again and again by forks of a process that has imported it.

Importing takes seconds, in which a kill cannot damage anything. Each line on standard input is a port, and is answered
with the process id of a server that starts on it. The server before it is waited for first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import SimpleITK  # noqa: F401 - imported by the first request otherwise
import uvicorn.lifespan.on
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl
import uvicorn.protocols.websockets.auto  # noqa: F401

import mrseg_label.segments.files  # noqa: F401
import mrseg_monailabel.server  # noqa: F401
from mrseg_label.http.server import run_server
from mrseg_label.workspace import Workspace


def main(root: Path) -> None:
    """Fork a server for each line."""
    child = 0
    for line in sys.stdin:
        if child:
            os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            run_server(Workspace.open(root), "127.0.0.1", int(line), lambda: None)
            os._exit(0)
        print(child, flush=True)
    if child:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
