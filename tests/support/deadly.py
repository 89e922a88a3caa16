"""Work that kills its process, or that never ends, for tests of the workers that run it."""

from __future__ import annotations

import os
import signal
import time

from mrseg_label.jobs import JobContext


def run(context: JobContext) -> None:
    """Do what ``payload["how"]`` says: ``die``, ``stay`` or anything else, which is done at once."""
    if context.payload.get("how") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if context.payload.get("how") == "stay":
        time.sleep(600)


def die_of(number: int) -> int:
    """Kill this process if the number is 3, and return it otherwise."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
