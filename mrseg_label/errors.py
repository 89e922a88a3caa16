"""The exceptions of the product.

Every error that a user can cause or mend is a :class:`MrsegError`. Its message names what went wrong, with which file
or value, and what to do. ``http_status`` is the status of an HTTP response with the message, ``exit_code`` the exit
code of a command.
"""

from __future__ import annotations


class MrsegError(Exception):
    """An error whose message is meant for the user."""

    http_status: int = 500
    exit_code: int = 1
    retry_after: int | None = None  # seconds until the same request may succeed


class InvalidInput(MrsegError):
    """A file, a value or a request is not valid."""

    http_status = 422


class LabelError(InvalidInput):
    """A label scheme or a set of segment names cannot be used."""


class GeometryError(InvalidInput):
    """An image's or a mask's size, spacing, origin or direction cannot be used."""


class NotFound(MrsegError):
    """Nothing exists under that id or name."""

    http_status = 404


class Conflict(MrsegError):
    """The request conflicts with the current state."""

    http_status = 409


class Unauthorized(MrsegError):
    """The request is not signed in, or its sign-in has expired."""

    http_status = 401


class TooManyRequests(MrsegError):
    """Too many requests were sent, and the next must wait.

    Parameters
    ----------
    retry_after : seconds to wait.
    """

    http_status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(MrsegError):
    """The account does not have permission for the request."""

    http_status = 403


class TooLarge(InvalidInput):
    """A request, an upload or an archive is larger than is allowed."""

    http_status = 413


class Unavailable(MrsegError):
    """Something that is needed is not available at present: a worker, weights, the database."""

    http_status = 503
    retry_after: int | None = 30


class MachineFailure(Unavailable):
    """The machine, a disk or the database cannot work at present; the same request may succeed later.

    Parameters
    ----------
    file : the file that was read or written, for the command line and the log: its name is not for every client.
    """

    retry_after: int | None = 10

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


class StorageFull(MachineFailure):
    """There is no room for what was to be stored."""

    http_status = 507
    retry_after = 60


class NoPermission(MachineFailure):
    """The operating system does not let this user read or write a file; waiting does not help."""

    retry_after = None


class Stalled(MrsegError):
    """Work was ended because it made no progress for too long."""


class OutOfMemory(MrsegError):
    """The memory of the machine or of its GPU does not suffice, not even with smaller settings."""


class ConfigurationError(MrsegError):
    """The workspace or its settings cannot be used."""

    exit_code = 2


class StoredFileError(MrsegError):
    """A stored file is missing, differs from its digest, or would be overwritten."""


class DamagedModel(StoredFileError):
    """The files of a model version cannot be read."""


class Cancelled(MrsegError):
    """An admin cancelled the job."""


class LeaseLost(MrsegError):
    """The job is no longer leased to this worker."""


# What fails again however often it is tried; only an admin can do something about it.
FINAL_ERRORS = (InvalidInput, OutOfMemory)
