"""Run a module as ``python -m`` does, and end with the process that started it.

``python -m mrseg_label.simulation.with_parent MODULE ARGUMENTS``: standard input is a pipe from the parent. When it
closes, this process ends as if it had been told to, and is killed if that takes too long.
"""

from __future__ import annotations

import runpy
import sys

from mrseg_label.processes import end_with_parent

GRACE_SECONDS = 25.0


def main() -> None:
    """Watch the parent and run the module."""
    end_with_parent(GRACE_SECONDS)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
