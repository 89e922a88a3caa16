"""The settings of a demo's workspace, whatever the environment says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mrseg_label.config import CONFIG_FILE
from mrseg_label.workspace import write_atomically

# What the environment may not change: the demo must not touch another database, and needs its own batches.
FIXED = (
    "DATABASE_URL",
    "ROUND_SIZE",
    "AUTO_ROUND",
    "PREPARE_AHEAD",
    "LEASE_HOURS",
    "REVIEW",
    "AUTH",
    "BOOTSTRAP_SOURCES",
)


def settings_text(round_size: int, profile: str, auto_round: bool = True) -> str:
    """The text of ``mrseg.toml``."""
    return f"""\
# Settings of a demo's workspace.
AUTH = "off"  # only this machine is answered
ROUND_SIZE = {round_size}
AUTO_ROUND = {"true" if auto_round else "false"}
TRAINING_PROFILE = "{profile}"
PREPARE_AHEAD = {round_size}
"""


def stop_rounds(workspace: Path, round_size: int, profile: str) -> None:
    """Switch AUTO_ROUND off; the server's workers read it before they start a round."""
    write_atomically(workspace / CONFIG_FILE, settings_text(round_size, profile, auto_round=False).encode())


@contextmanager
def fixed_settings() -> Iterator[None]:
    """Take the variables that the demo fixes out of the environment for a while."""
    taken = {key: os.environ.pop(key) for key in (f"MRSEG_{name}" for name in FIXED) if key in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
