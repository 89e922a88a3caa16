"""One exception hierarchy.

Every error that a user can cause or mend is a :class:`MrsegError`. Its message says what was wrong,
with which file or value, and what to do. ``http_status`` is what the message travels with over HTTP;
``exit_code`` what the command line ends with.
"""

from __future__ import annotations


class MrsegError(Exception):
    """Something went wrong that the user should read about."""

    http_status: int = 500
    exit_code: int = 1


class InvalidInput(MrsegError):
    """A file, a value or a request is not what it must be."""

    http_status = 422


class LabelError(InvalidInput):
    """A label scheme or a set of segment names cannot be used."""


class GeometryError(InvalidInput):
    """An image's or a mask's size, spacing, origin or direction cannot be used."""


class NotFound(MrsegError):
    """There is nothing under that id."""

    http_status = 404


class Conflict(MrsegError):
    """The request contradicts the present state."""

    http_status = 409


class Unauthorized(MrsegError):
    """Nobody is signed in, or not any more."""

    http_status = 401


class TooManyRequests(MrsegError):
    """The caller must wait.

    Parameters
    ----------
    retry_after : seconds.
    """

    http_status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(MrsegError):
    """The caller may not do this."""

    http_status = 403


class TooLarge(InvalidInput):
    """A request or an upload is larger than is allowed."""

    http_status = 413


class Unavailable(MrsegError):
    """Something that is needed is not there now: a worker, weights, the database."""

    http_status = 503


class ConfigurationError(MrsegError):
    """The workspace or its settings cannot be used."""

    exit_code = 2


class StoredFileError(MrsegError):
    """A stored file is missing or differs from its digest."""


class Cancelled(MrsegError):
    """The work was cancelled by an admin."""


class LeaseLost(MrsegError):
    """This worker no longer holds the job that it works on."""
