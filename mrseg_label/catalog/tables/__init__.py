"""Tables. Everything whose state changes is a row; files belong to rows."""

from mrseg_label.catalog.tables.accounts import AccessToken, Account, Credential, Secret, SignInAttempts
from mrseg_label.catalog.tables.annotations import (
    Annotation,
    AnnotationStructure,
    Assignment,
    GoldCase,
    Presegmentation,
    Remark,
    Review,
    ShownLabel,
    SourceScore,
)
from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.tables.counts import UNDECIDED, CaseCount
from mrseg_label.catalog.tables.deletions import DeletedParticipant, UnfinishedDeletion
from mrseg_label.catalog.tables.events import Event
from mrseg_label.catalog.tables.examinations import Acquisition, Alias, Examination, Participant
from mrseg_label.catalog.tables.jobs import AuditEvent, Heartbeat, Job, WorkerProcess
from mrseg_label.catalog.tables.notifications import Delivery, Lease, Notification
from mrseg_label.catalog.tables.quality import Dismissal, MaskAgreement, MaskShapes, ModelAudit, SuspiciousMask
from mrseg_label.catalog.tables.rounds import BOOTSTRAP, Evaluation, ModelVersion, Round, RoundCase, RoundDraft
from mrseg_label.catalog.tables.training import RoundFold, RoundLog
from mrseg_label.catalog.tables.work import WorkSign

__all__ = [
    "BOOTSTRAP",
    "UNDECIDED",
    "AccessToken",
    "Account",
    "Acquisition",
    "Alias",
    "Annotation",
    "AnnotationStructure",
    "Assignment",
    "AuditEvent",
    "Base",
    "CaseCount",
    "Credential",
    "DeletedParticipant",
    "Delivery",
    "Dismissal",
    "Evaluation",
    "Event",
    "Examination",
    "GoldCase",
    "Heartbeat",
    "Job",
    "Lease",
    "MaskAgreement",
    "MaskShapes",
    "ModelAudit",
    "ModelVersion",
    "Notification",
    "Participant",
    "Presegmentation",
    "Remark",
    "Review",
    "Round",
    "RoundCase",
    "RoundDraft",
    "RoundFold",
    "RoundLog",
    "Secret",
    "ShownLabel",
    "SignInAttempts",
    "SourceScore",
    "SuspiciousMask",
    "UnfinishedDeletion",
    "WorkSign",
    "WorkerProcess",
]
