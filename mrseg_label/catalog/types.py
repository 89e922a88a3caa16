"""Column types and the values of coded columns."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator

# Names in histories that belong to no person. None of them can be an account's.
ANONYMOUS = "anonymous"  # a request without sign-in that names nobody
DEFAULT_CLIENT = "user-xyz"  # what every Slicer calls itself unless it is told another name
IMPORT_AUTHOR = "import"  # author and client of the masks that came with an import
UNKNOWN = "unknown"  # a failed sign-in under a name that has no account

Position = tuple[datetime, str]  # of the last row of a page: when it was created, and its id


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, stored in UTC; SQLite would drop the offset of a zoned one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Coded(TypeDecorator[StrEnum]):
    """A StrEnum stored as its text."""

    impl = String(32)
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else str(self.enum(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum(value)


def finite(value: Any) -> Any:
    """The value with null for every NaN and infinity in it: JSON has neither, and PostgreSQL refuses them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def json_text(value: Any) -> str:
    """What a JSON column stores."""
    return json.dumps(finite(value), allow_nan=False)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RoundState(StrEnum):
    QUEUED = "queued"
    SNAPSHOT = "snapshot"
    PLANNING = "planning"
    PREPROCESSING = "preprocessing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_ROUNDS = (RoundState.DONE, RoundState.FAILED, RoundState.CANCELLED)


class ModelStatus(StrEnum):
    CANDIDATE = "candidate"
    CURRENT = "current"
    RETIRED = "retired"
    FAILED = "failed"


class AnnotationState(StrEnum):
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Verdict(StrEnum):
    """What is said of a revision after its submission."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"  # by a second reader; it goes back to its author
    WITHDRAWN = "withdrawn"  # by its author, or by an admin: it does not count any more


class StructureState(StrEnum):
    """What a reader said of one structure in one revision."""

    DRAWN = "drawn"  # there, and not in the draft
    CORRECTED = "corrected"  # there, and different from the draft
    UNCHANGED = "unchanged"  # there, and exactly the draft
    ABSENT = "absent"  # its segment was sent empty: it is not in the image
    NOT_ANNOTATED = "not_annotated"  # its segment was removed: the reader does not vouch for it
    FILLED = "filled"  # the same, and what the model's draft has of it stands in training data (never in the mask)

    @property
    def judged(self) -> bool:
        """Whether the reader vouches for the structure, present or absent."""
        return self not in (StructureState.NOT_ANNOTATED, StructureState.FILLED)


class CaseRole(StrEnum):
    TRAINING = "training"
    HELD_OUT = "held_out"


class AssignmentOutcome(StrEnum):
    """How an assignment ended."""

    SUBMITTED = "submitted"
    RETURNED = "returned"  # to the queue, by the reader or for them
    EXPIRED = "expired"


class Role(StrEnum):
    """What an account is for."""

    RADIOLOGIST = "radiologist"  # annotates
    REVIEWER = "reviewer"  # annotates, and decides on others' submissions
    ADMIN = "admin"  # all that, and rounds, models and figures
    SERVICE = "service"  # a program that reads models and figures


class CredentialKind(StrEnum):
    """What a credential opens."""

    API_KEY = "api_key"  # of a program: sent with every request
    APP_PASSWORD = "app_password"  # of a person: stands in for the password in Slicer's form
