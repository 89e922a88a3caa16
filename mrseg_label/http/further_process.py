"""A further process of a server: ``python -m mrseg_label.http.further_process --workspace DIR --sockets 5,6``."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from mrseg_label.http.server import serve_sockets
from mrseg_label.processes import end_with_parent
from mrseg_label.workspace import Workspace

FURTHER_APPLICATION = "mrseg_monailabel.server:create_further_app"
GRACE_SECONDS = 5.0  # for requests under way when the first process is gone


def main() -> None:
    """Serve at inherited sockets until told to end, or until the first process is gone."""
    parser = argparse.ArgumentParser(description="Answer requests beside the first process of a server")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--sockets", required=True, help="numbers of open files, separated by commas")
    arguments = parser.parse_args()
    end_with_parent(GRACE_SECONDS)
    sockets = [socket.socket(fileno=int(number)) for number in arguments.sockets.split(",")]
    serve_sockets(Workspace.open(arguments.workspace), sockets, FURTHER_APPLICATION)


if __name__ == "__main__":
    main()
