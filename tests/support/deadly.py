"""Work that kills its process, or that never ends, for tests of the workers that run it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from mrseg_label.errors import Unavailable
from mrseg_label.jobs import JobContext
from mrseg_label.nnunet.gpus import held_files


def run(context: JobContext) -> None:
    """Do what ``payload["how"]`` says: ``die``, ``fail``, ``need a model``, ``stay``, ``hang``, ``wait for a child`` or anything else, which is done at once.

    What stays or hangs has a child in a session of its own, and writes its id to ``payload["ids"]`` if that is given.
    """
    if "ids" in context.payload:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(context.payload["ids"]).write_text(f"{child.pid}\n")
    if context.payload.get("how") == "hang":
        with context.watched():
            time.sleep(600)
    if context.payload.get("how") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if context.payload.get("how") == "fail":
        raise ValueError("the image has no voxels")
    if context.payload.get("how") == "need a model":
        raise Unavailable("no weights are installed")
    if context.payload.get("how") == "stay":
        time.sleep(600)
    if context.payload.get("how") == "wait for a child":
        subprocess.run(["sleep", "600"], check=True)


def note_device(context: JobContext) -> None:
    """Write the device of the job, and the GPUs that its process holds, to the file ``payload["note"]``."""
    held = sorted(Path(f"/proc/self/fd/{file}").readlink().name.partition(".")[0] for file in held_files())
    Path(context.payload["note"]).write_text(" ".join([context.workspace.settings.device, *held]))


def die_of(number: int) -> int:
    """Kill this process if the number is 3, and return it otherwise."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
