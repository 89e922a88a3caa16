"""A round that failed says what an administrator can do, whatever the cause."""

from __future__ import annotations

import pytest

from mrseg_label import errors
from mrseg_label.rounds.advice import with_advice


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            errors.OutOfMemory("memory was exhausted. Use a larger machine"),
            "checkpoint with: mrseg-label rounds retry 7",
        ),
        (errors.Stalled("no progress for 30 minutes"), "raise STALL_MINUTES"),
        (errors.InvalidInput("no case is left"), "start a new round"),
        (errors.GeometryError("no grid"), "start a new round"),
        (errors.ConfigurationError("DEVICE is 'gpu'"), "Correct the setting (mrseg-label doctor"),
        (errors.NoPermission("no permission"), "doctor --mend"),
        (errors.DamagedModel("model version r1 cannot be loaded."), "r1 cannot be loaded. Restore the file"),
        (errors.StoredFileError("the image is missing"), "doctor --verify"),
        (errors.Conflict("another process is working"), "end it, or wait"),
        (errors.Unavailable("no weights"), "Make available what is missing"),
        (errors.MrsegError("the training ended with exit code 3"), "mrseg-label rounds log 7"),
        (RuntimeError(), "RuntimeError(). If the message does not say why"),
    ],
)
def test_every_cause_has_advice(error: Exception, advice: str) -> None:
    shown = with_advice(error, 7)
    assert advice in shown and "mrseg-label rounds retry 7" in shown
    assert ".." not in shown
    assert with_advice(errors.MrsegError(shown), 7) == shown
