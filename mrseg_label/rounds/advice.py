"""What an administrator can do about a round that failed, by its cause."""

from __future__ import annotations

from mrseg_label import errors

_LOOK = "see the log with: mrseg-label rounds log {number}"
_AGAIN = "then go on from the last checkpoint with: mrseg-label rounds retry {number}"
# The first class that fits. Messages of bad input name what to change themselves.
ADVICE: tuple[tuple[type[BaseException], str], ...] = (
    (errors.OutOfMemory, _AGAIN),
    (
        errors.Stalled,
        f"Look for a GPU, a network share or a stopped process that hung: {_LOOK}. If the machine is only slow, raise "
        f"STALL_MINUTES, {_AGAIN}",
    ),
    (errors.InvalidInput, "What was annotated or set has to change first, then start a new round or: mrseg-label rounds retry {number}"),
    (errors.ConfigurationError, f"Correct the setting (mrseg-label doctor checks all), {_AGAIN}"),
    (errors.NoPermission, f"Correct the permissions (mrseg-label doctor --mend), {_AGAIN}"),
    (
        errors.StoredFileError,
        f"Restore the file from a backup (mrseg-label doctor --verify finds all that are damaged), {_AGAIN}",
    ),
    (errors.Conflict, f"Another process works in the folders of this round: end it, or wait, {_AGAIN}"),
    (errors.Unavailable, f"Make available what is missing (mrseg-label doctor), {_AGAIN}"),
    (BaseException, f"If the message does not say why, {_LOOK}, and check the machine with: mrseg-label doctor; {_AGAIN}"),
)  # fmt: skip


def with_advice(error: BaseException, number: int) -> str:
    """The message of an error that ended a round, and what to do."""
    message = (str(error) or repr(error)).rstrip(" .")
    advice = next(text for kind, text in ADVICE if isinstance(error, kind)).format(number=number)
    return message if f"rounds retry {number}" in message else f"{message}. {advice[0].upper()}{advice[1:]}"
