"""Tables. Everything that has a life is a row here; files only hang on rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from mrseg_label.catalog.types import (
    CaseRole,
    Coded,
    JobState,
    LeaseEnd,
    ModelStatus,
    RevisionState,
    RoundState,
    StructureState,
    UtcDateTime,
    Verdict,
)
from mrseg_label.clock import now
from mrseg_label.ids import new_id

BOOTSTRAP = "bootstrap"  # the version that stands for TotalSegmentator before the first round


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JSON(), list[Any]: JSON(), str: String(255)}


class Participant(Base):
    """A person who was examined. ``held_out`` is decided once, when first needed, and never changes."""

    __tablename__ = "participants"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("pt"))
    code: Mapped[str] = mapped_column(unique=True)
    sex: Mapped[str | None] = mapped_column(String(16))
    age: Mapped[float | None] = mapped_column(Float)
    held_out: Mapped[bool | None]
    excluded_at: Mapped[datetime | None]  # then all acquisitions are, those that come later too
    excluded_by: Mapped[str | None]
    excluded_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Acquisition(Base):
    """Co-registered examinations (channels) of one acquisition: one draft and one correction serve all.

    It is what a reader is handed: its primary examination is the channel that is drafted on and opened.
    """

    __tablename__ = "acquisitions"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("aq"))
    participant_id: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    key: Mapped[str] = mapped_column(String(1024), unique=True)  # what tells it apart from others at import
    station: Mapped[str] = mapped_column(default="")
    sequence: Mapped[str] = mapped_column(default="", index=True)  # of the primary examination
    primary_examination_id: Mapped[str | None]
    annotated_at: Mapped[datetime | None]  # first accepted revision
    excluded_at: Mapped[datetime | None]
    excluded_by: Mapped[str | None]
    excluded_reason: Mapped[str | None] = mapped_column(Text)
    shuffle: Mapped[float] = mapped_column(Float)  # order of the random strategy, drawn at import
    created_at: Mapped[datetime] = mapped_column(default=now)
    participant: Mapped[Participant] = relationship(lazy="joined")
    examinations: Mapped[list[Examination]] = relationship(back_populates="acquisition", order_by="Examination.id")
    __table_args__ = (
        Index(
            "ix_acquisitions_waiting",
            "sequence",
            "shuffle",
            sqlite_where=text("annotated_at IS NULL AND excluded_at IS NULL"),
            postgresql_where=text("annotated_at IS NULL AND excluded_at IS NULL"),
        ),
    )


class Examination(Base):
    """One stored image."""

    __tablename__ = "examinations"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ex"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    sequence: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(Text)  # where it came from, for the admin
    source_digest: Mapped[str] = mapped_column(String(64), index=True)
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    geometry: Mapped[dict[str, Any]]  # imaging.geometry.Geometry.to_json()
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    acquisition: Mapped[Acquisition] = relationship(back_populates="examinations", lazy="joined")
    __table_args__ = (Index("ix_examinations_newest", "created_at", "id"),)


class Alias(Base):
    """A client's own name for an image that it uploaded."""

    __tablename__ = "aliases"
    client: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelVersion(Base):
    """A model that makes drafts. ``bootstrap`` has neither round nor folder."""

    __tablename__ = "model_versions"
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    round_number: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"))
    parent: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[ModelStatus] = mapped_column(Coded(ModelStatus), index=True)
    path: Mapped[str | None] = mapped_column(String(1024))  # model folder, relative to the workspace
    dataset_digest: Mapped[str | None] = mapped_column(String(64))
    weights_digest: Mapped[str | None] = mapped_column(String(64))
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    promoted_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "uq_model_versions_current",
            "status",
            unique=True,
            sqlite_where=text("status = 'current'"),
            postgresql_where=text("status = 'current'"),
        ),
    )


class Presegmentation(Base):
    """A draft: one model version's label map of one acquisition."""

    __tablename__ = "presegmentations"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ps"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"))
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))  # the channel it was made on
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    source: Mapped[str] = mapped_column(String(64))  # inverted, equalized, raw; nnunet
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (
        UniqueConstraint("examination_id", "model_version"),
        Index("ix_presegmentations_newest", "acquisition_id", "created_at"),
    )


class Lease(Base):
    """A case handed to a reader. At most one open lease an acquisition, but for second reads."""

    __tablename__ = "leases"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ls"))
    ticket: Mapped[str] = mapped_column(String(64), unique=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    client: Mapped[str]
    user: Mapped[str | None]
    second_read: Mapped[bool] = mapped_column(default=False)
    presegmentation_id: Mapped[str | None] = mapped_column(ForeignKey("presegmentations.id"))  # what was sent last
    revision_id: Mapped[str | None]  # the mask that the reader begins with instead of a draft
    asked_for: Mapped[bool] = mapped_column(default=False)  # by name, and not yet fetched as the next case
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    ended: Mapped[LeaseEnd | None] = mapped_column(Coded(LeaseEnd))
    __table_args__ = (
        Index(
            "uq_leases_open",
            "acquisition_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL AND second_read = 0"),
            postgresql_where=text("ended_at IS NULL AND NOT second_read"),
        ),
    )


class Revision(Base):
    """One submission: the label map as we store it, and the upload itself beside it. Append-only."""

    __tablename__ = "revisions"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("rv"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"))
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))  # the channel it was drawn on
    number: Mapped[int]
    state: Mapped[RevisionState] = mapped_column(Coded(RevisionState))
    author: Mapped[str]
    client: Mapped[str]
    path: Mapped[str] = mapped_column(String(1024))
    digest: Mapped[str] = mapped_column(String(64))
    upload_path: Mapped[str] = mapped_column(String(1024))
    upload_digest: Mapped[str] = mapped_column(String(64))
    presegmentation_id: Mapped[str | None] = mapped_column(ForeignKey("presegmentations.id"))
    model_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    lease_id: Mapped[str | None] = mapped_column(ForeignKey("leases.id"))
    seconds: Mapped[float | None] = mapped_column(Float)  # from hand-out to submission
    is_final: Mapped[bool] = mapped_column(default=True)  # counts as the acquisition's mask if it is the newest such
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what decoding noticed
    effort: Mapped[dict[str, Any] | None]  # edited voxels, DSC against the draft; filled in by a job
    created_at: Mapped[datetime] = mapped_column(default=now)
    structures: Mapped[list[RevisionStructure]] = relationship(lazy="selectin", cascade="all, delete-orphan")
    __table_args__ = (UniqueConstraint("acquisition_id", "number"),)


class RevisionStructure(Base):
    """What one revision says of one structure."""

    __tablename__ = "revision_structures"
    revision_id: Mapped[str] = mapped_column(ForeignKey("revisions.id"), primary_key=True)
    structure: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[StructureState] = mapped_column(Coded(StructureState))
    voxels: Mapped[int] = mapped_column(default=0)
    edited_voxels: Mapped[int | None]
    dsc: Mapped[float | None] = mapped_column(Float)  # against the draft


class Review(Base):
    """What was said of a revision after its submission. Append-only; the revision's state is what the last one made it."""

    __tablename__ = "reviews"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("rw"))
    revision_id: Mapped[str] = mapped_column(ForeignKey("revisions.id"), index=True)
    reviewer: Mapped[str]
    verdict: Mapped[Verdict] = mapped_column(Coded(Verdict))
    comment: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Round(Base):
    """A retraining round."""

    __tablename__ = "rounds"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[RoundState] = mapped_column(Coded(RoundState), index=True)
    profile: Mapped[str] = mapped_column(String(32))
    final: Mapped[bool] = mapped_column(default=False)
    parent: Mapped[str | None] = mapped_column(String(64))  # model version it starts from
    job_id: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=1)
    snapshot_digest: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cases: Mapped[list[RoundCase]] = relationship(order_by="RoundCase.revision_id")


class RoundCase(Base):
    """A revision in a round's snapshot."""

    __tablename__ = "round_cases"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    revision_id: Mapped[str] = mapped_column(ForeignKey("revisions.id"), primary_key=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"))
    role: Mapped[CaseRole] = mapped_column(Coded(CaseRole))
    revision: Mapped[Revision] = relationship(lazy="joined")


class Evaluation(Base):
    """DSC of a model version against one revision of a held-out case."""

    __tablename__ = "evaluations"
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    revision_id: Mapped[str] = mapped_column(ForeignKey("revisions.id"), primary_key=True)
    mean_dsc: Mapped[float | None] = mapped_column(Float)
    dsc: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(Base):
    """A piece of work. Claim, renewal and finish are updates guarded by ``lease_token``."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("jb"))
    kind: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(64))
    key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(default=0)
    state: Mapped[JobState] = mapped_column(Coded(JobState))
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    owner: Mapped[str | None]  # host:pid:start time of the worker
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    not_before: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "uq_jobs_active",
            "kind",
            "key",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("ix_jobs_claim", "queue", "state", "priority"),
    )


class AuditEvent(Base):
    """Who changed what, when. Never changed or deleted."""

    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
