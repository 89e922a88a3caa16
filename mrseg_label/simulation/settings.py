"""The settings of a demo's workspace, independent of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mrseg_label.config import CONFIG_FILE
from mrseg_label.files import write_atomically

# Settings that the environment must not change: the demo uses its own database and its own batches.
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
    """Write the text of ``mrseg.toml``."""
    return f"""\
# Settings of a demo's workspace.
AUTH = "off"  # requests from other machines are refused
ROUND_SIZE = {round_size}
AUTO_ROUND = {"true" if auto_round else "false"}
TRAINING_PROFILE = "{profile}"
PREPARE_AHEAD = {round_size}
"""


def stop_rounds(workspace: Path, round_size: int, profile: str) -> None:
    """Switch AUTO_ROUND off; workers read the setting before they start a round."""
    write_atomically(workspace / CONFIG_FILE, settings_text(round_size, profile, auto_round=False).encode())


@contextmanager
def fixed_settings() -> Iterator[None]:
    """Remove the variables of fixed settings from the environment, and restore them afterwards."""
    removed = {key: os.environ.pop(key) for key in (f"MRSEG_{name}" for name in FIXED) if key in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)
