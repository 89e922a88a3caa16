"""Column types and the values of coded columns."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator

# Names in histories that belong to no account. No account can have one of them.
ANONYMOUS = "anonymous"  # a request without sign-in and without a client name
DEFAULT_CLIENT = "user-xyz"  # what every Slicer calls itself unless it is told another name
IMPORT_AUTHOR = "import"  # author and client of the masks that came with an import
PROGRAM = "mrseg-label"  # the program itself, such as where it starts a round
LOCAL = "local"  # the command line, unless it is told a name
UNKNOWN = "unknown"  # a failed sign-in under a name that has no account

Position = tuple[datetime, str]  # of the last row of a page: when it was created, and its id


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with time zone, stored in UTC; SQLite would drop the offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
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

    def process_bind_param(self, value: StrEnum | None, _dialect: Dialect) -> str | None:
        return None if value is None else str(self.enum(value))

    def process_result_value(self, value: Any, _dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum(value)


def finite(value: Any) -> Any:
    """Replace every NaN and infinity in a value by None: JSON has neither, and PostgreSQL refuses them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def json_text(value: Any) -> str:
    """Write a value as the text that a JSON column stores."""
    return json.dumps(finite(value), allow_nan=False)


class JobKind(StrEnum):
    """What a job does."""

    PRESEGMENT = "presegment"  # make one pre-segmentation of one acquisition
    PRESEGMENT_PENDING = "presegment_pending"  # enqueue pre-segmentations of the cases that are assigned next
    RENEW_PRESEGMENTATIONS = "renew_presegmentations"  # the same, by a model that was just promoted
    MEASURE_EFFORT = "measure_effort"  # measure the effort of an annotation, and start a round if it is due
    MEASURE_MISSING_EFFORT = "measure_missing_effort"  # measure of old annotations what earlier versions did not
    CHECK_ANNOTATIONS = "check_annotations"  # compare readings of one case, and find annotations to look at
    MEASURE_SOURCES = "measure_sources"  # measure sources of the first drafts on an annotated case
    AUDIT_ANNOTATIONS = "audit_annotations"  # compare a model that was promoted with the annotations so far
    IMPORT_IMAGES = "import_images"  # import an entry of the inbox
    SEND_ANNOTATIONS = "send_annotations"  # store annotations in the archive that their images came from
    IMPORT_MASK = "import_mask"  # turn a mask that came with an import into an annotation
    TRAIN_ROUND = "train_round"  # run a retraining round, or prepare one of several folds
    TRAIN_FOLD = "train_fold"  # train one fold of a round of several
    FINISH_ROUND = "finish_round"  # join the folds of a round, evaluate the model and register it
    TRY_MODEL = "try_model"  # try an imported model on one image
    PRUNE_ROUNDS = "prune_rounds"  # remove what rounds left in nnU-Net's folders and no later round needs
    COMPARE_SCANS = "compare_scans"  # compare images of earlier versions, which have no fingerprint, with the others


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RoundState(StrEnum):
    """How far a round is."""

    QUEUED = "queued"
    SNAPSHOT = "snapshot"
    PLANNING = "planning"
    PREPROCESSING = "preprocessing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttentionKind(StrEnum):
    """What an administrator should look at."""

    ROUND_FAILED = "round_failed"
    ROUND_WARNING = "round_warning"
    JOBS_FAILED = "jobs_failed"
    MASKS_REFUSED = "masks_refused"
    WORKER_LOST = "worker_lost"
    STAND_IN_WEIGHTS = "stand_in_weights"
    NO_WEIGHTS = "no_weights"
    DISK_ALMOST_FULL = "disk_almost_full"
    AWAITING_REVIEW = "awaiting_review"
    MODEL_DISAGREES = "model_disagrees"


class Topic(StrEnum):
    """What a change is about that streams of events tell; each has a document of its own."""

    ROUND = "round"
    ASSIGNMENT = "assignment"
    ANNOTATION = "annotation"
    MODEL = "model"
    JOB = "job"
    NOTIFICATION = "notification"


class Channel(StrEnum):
    """How a notification is sent, beside the dashboard."""

    WEBHOOK = "webhook"
    EMAIL = "email"


ROUND_JOBS = (JobKind.TRAIN_ROUND, JobKind.TRAIN_FOLD, JobKind.FINISH_ROUND)
ENDED_ROUNDS = (RoundState.DONE, RoundState.FAILED, RoundState.CANCELLED)


class FoldState(StrEnum):
    """How far a fold of a round is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ModelStatus(StrEnum):
    """What a model version is used for."""

    CANDIDATE = "candidate"  # trained and not promoted
    CURRENT = "current"  # makes the pre-segmentations
    RETIRED = "retired"  # was current before
    FAILED = "failed"


class AnnotationState(StrEnum):
    """Whether an annotation counts."""

    SUBMITTED = "submitted"  # awaits review
    ACCEPTED = "accepted"
    REJECTED = "rejected"  # by a reviewer, or withdrawn


class Verdict(StrEnum):
    """What was decided about an annotation after its submission."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"  # by a reviewer; its author gets the case again
    WITHDRAWN = "withdrawn"  # by its author, a reviewer or an admin: it no longer counts


class StructureState(StrEnum):
    """What an annotation says about one structure."""

    DRAWN = "drawn"  # present, and not in the pre-segmentation
    CORRECTED = "corrected"  # present, and different from the pre-segmentation
    UNCHANGED = "unchanged"  # present, and exactly as in the pre-segmentation
    ABSENT = "absent"  # judged, and not in the image: its segment was sent empty
    NOT_ANNOTATED = "not_annotated"  # not judged: its segment was removed
    FILLED = "filled"  # not judged; training data (never the mask) take its voxels from the pre-segmentation

    @property
    def judged(self) -> bool:
        """Whether the reader judged the structure, present or absent."""
        return self not in (StructureState.NOT_ANNOTATED, StructureState.FILLED)


class CaseState(StrEnum):
    """Where a case is; of several that hold the first of these."""

    EXCLUDED = "excluded"  # by itself or with its participant
    ASSIGNED = "assigned"  # a reader has it, also for a second reading or a review
    AWAITING_REVIEW = "awaiting_review"
    ANNOTATED = "annotated"
    WAITING = "waiting"  # for a reader
    NO_IMAGE = "no_image"  # has none that a reader could open


class Priority(StrEnum):
    """When a waiting case is assigned and drafted: before all of a lower priority, whatever the strategy."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class SwapState(StrEnum):
    """Whether fat and water are exchanged in a Dixon image: what the import suspects, or what an admin decided."""

    SUSPECTED = "suspected"  # by the import; awaits a decision
    CONFIRMED = "confirmed"
    NONE = "none"  # looked at, and not exchanged

    @property
    def keeps_out(self) -> bool:
        """Whether the image stays out of training and evaluation."""
        return self is not SwapState.NONE


class CaseRole(StrEnum):
    """What a case in a snapshot is used for."""

    TRAINING = "training"
    HELD_OUT = "held_out"


class Sign(StrEnum):
    """By what a reader shows that they work on a case."""

    OPENED = "opened"  # it came as the next case
    IMAGE = "image"  # its image was downloaded, or found in the client's cache
    MASK = "mask"  # its draft or annotation was requested
    VIEWED = "viewed"  # it was opened in the browser


class AssignmentOutcome(StrEnum):
    """How an assignment ended."""

    SUBMITTED = "submitted"
    RETURNED = "returned"  # to the queue, by the reader or for them
    EXPIRED = "expired"


class BlindKind(StrEnum):
    """What an assignment is that its reader takes for the next case."""

    GOLD = "gold"  # a case of which an administrator knows the mask
    REPEAT = "repeat"  # a case that this reader finished before


class Role(StrEnum):
    """What an account may do."""

    RADIOLOGIST = "radiologist"  # annotates
    REVIEWER = "reviewer"  # annotates, and reviews the annotations of others
    ADMIN = "admin"  # all that, and rounds, models and metrics
    SERVICE = "service"  # a program that reads models and metrics


class Scope(StrEnum):
    """What an API key may fetch beside what its account may."""

    IMAGES = "images"
    MASKS = "masks"


class CredentialKind(StrEnum):
    """How a credential is used."""

    API_KEY = "api_key"  # of a program: sent with every request
    APP_PASSWORD = "app_password"  # of a person: replaces the password in Slicer's sign-in form
    REVIEW_ADDRESS = "review_address"  # of a reviewer: part of the address that a Slicer extension without sign-in uses
