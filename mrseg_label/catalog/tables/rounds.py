"""Tables of retraining: model versions, rounds with their snapshots, evaluations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mrseg_label.catalog.tables.annotations import Annotation
from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import CaseRole, Coded, ModelStatus, RoundState
from mrseg_label.clock import now

BOOTSTRAP = "bootstrap"  # the version that stands for the bootstrap sources before the first round


class ModelVersion(Base):
    """A trained model; ``bootstrap``, which stands for the bootstrap sources, has neither round nor folder."""

    __tablename__ = "model_versions"
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    round_number: Mapped[int | None] = mapped_column(ForeignKey("rounds.number"))
    parent: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[ModelStatus] = mapped_column(Coded(ModelStatus), index=True)
    path: Mapped[str | None] = mapped_column(String(1024))  # model folder, relative to the workspace
    dataset_digest: Mapped[str | None] = mapped_column(String(64))
    weights_digest: Mapped[str | None] = mapped_column(String(64))
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # How it was trained: settings, seed, programs, machine, duration, and where its first weights came from.
    record: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    card: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # of its data set
    licence: Mapped[str | None] = mapped_column(String(200))  # of its weights, as their source states it
    created_at: Mapped[datetime] = mapped_column(default=now)
    promoted_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]  # when a prediction was tried, or made by its round; only then it can be promoted
    problem: Mapped[str | None] = mapped_column(Text)  # why it does not work here
    __table_args__ = (
        Index(
            "uq_model_versions_current",
            "status",
            unique=True,
            sqlite_where=text("status = 'current'"),
            postgresql_where=text("status = 'current'"),
        ),
    )


class Round(Base):
    """A retraining round."""

    __tablename__ = "rounds"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[RoundState] = mapped_column(Coded(RoundState), index=True)
    profile: Mapped[str] = mapped_column(String(32))
    final: Mapped[bool] = mapped_column(default=False)
    # Whether held-out participants train too, so that its model cannot be compared with others on their cases.
    include_held_out: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Whether it learns from drafts that nobody corrected (RoundDraft) instead of from annotations.
    pretrain: Mapped[bool] = mapped_column(default=False, server_default=false())
    parent: Mapped[str | None] = mapped_column(String(64))  # the model version that it starts from
    # How it trains, fixed at its start (mrseg_label.rounds.training_values); empty of rounds of version 0.1.
    training: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    job_id: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=1)
    snapshot_digest: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cases: Mapped[list[RoundCase]] = relationship(order_by="RoundCase.annotation_id")


class RoundCase(Base):
    """An annotation in a round's snapshot."""

    __tablename__ = "round_cases"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    role: Mapped[CaseRole] = mapped_column(Coded(CaseRole))
    annotation: Mapped[Annotation] = relationship(lazy="joined")


class RoundDraft(Base):
    """A draft in the snapshot of a round that pretrains."""

    __tablename__ = "round_drafts"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    presegmentation_id: Mapped[str] = mapped_column(ForeignKey("presegmentations.id"), primary_key=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)


class Evaluation(Base):
    """DSC, HD95 and NSD of a model version on one examination of a held-out case, by the rule of :mod:`mrseg_label.scoring`.

    The examinations (channels) of a case share its annotation. ``apart`` has what the rule leaves out: ``remnant_dsc`` by structure, and ``false_positive_ml`` (null where an
    earlier version did not keep the volume).
    """

    __tablename__ = "evaluations"
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"), primary_key=True)
    mean_dsc: Mapped[float | None] = mapped_column(Float)
    dsc: Mapped[dict[str, Any]]
    apart: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    # ``hd95_mm`` (null: infinite) and ``nsd`` of the structures that count; None where an earlier version did not measure them.
    surfaces: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
