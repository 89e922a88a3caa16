"""Tables of images: participants, acquisitions, examinations, and clients' own names for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text, false, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mrseg_label.catalog.channel_types import Labelled, Misregistration
from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import CaseState, Coded, Priority, SwapState
from mrseg_label.clock import now
from mrseg_label.ids import new_id

_WAITING = "annotated_at IS NULL AND excluded_at IS NULL"
_ANNOTATED = "annotated_at IS NOT NULL AND excluded_at IS NULL"


def _partial(name: str, *columns: str, where: str) -> Index:
    """Make an index of those rows alone that meet a condition."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _flagged(name: str, *columns: str, flag: str, where: str) -> Index:
    """Make a partial index of the rows with a flag. SQLite uses it for the very comparison alone that SQLAlchemy writes."""
    sqlite, postgresql = text(f"{flag} = 1 AND {where}"), text(f"{flag} AND {where}")
    return Index(name, *columns, sqlite_where=sqlite, postgresql_where=postgresql)


class Participant(Base):
    """A person who was imaged. ``held_out`` is decided once, when first needed, and never changes.

    So is ``fold_position``, their number in the order in which people joined the training: the remainder by the number
    of folds is their fold.
    """

    __tablename__ = "participants"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("pt"))
    code: Mapped[str] = mapped_column(unique=True)
    sex: Mapped[str | None] = mapped_column(String(16))
    age: Mapped[float | None] = mapped_column(Float)
    held_out: Mapped[bool | None]
    fold_position: Mapped[int | None]
    excluded_at: Mapped[datetime | None]  # with all acquisitions, also those that are imported later
    excluded_by: Mapped[str | None]
    excluded_reason: Mapped[str | None] = mapped_column(Text)
    cohort: Mapped[str | None] = mapped_column(String(100))  # the data set that they came with
    # No reader gets a case of theirs and no model learns from one, those that are imported later included.
    evaluation_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (
        Index("ix_participants_cohort", "cohort"),
        _partial("ix_participants_undecided", "evaluation_only", "id", where="held_out IS NULL"),
        _partial("ix_participants_excluded", "id", where="excluded_at IS NOT NULL"),
    )


class Acquisition(Base):
    """Co-registered examinations (channels) of one station: they share one pre-segmentation and one annotation.

    Readers call it a case. Its primary examination is the channel that is pre-segmented and opened. One that is kept for
    evaluation alone has ``excluded_at`` too, so that it is nowhere where an excluded one is not.

    ``held_out`` repeats what its participant says, so that waiting cases are found in the order of assignment along an index.
    ``new_for_round``: a reader annotated it, and it is in no snapshot yet. ``has_draft``: there is a pre-segmentation. Triggers
    of the database keep all three, whatever statement changes what they follow from.
    """

    __tablename__ = "acquisitions"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("aq"))
    participant_id: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    key: Mapped[str] = mapped_column(String(1024), unique=True)  # identifies it at import
    station: Mapped[str] = mapped_column(default="")
    sequence: Mapped[str] = mapped_column(default="", index=True)  # of the primary examination
    primary_examination_id: Mapped[str | None]
    annotated_at: Mapped[datetime | None]  # first accepted annotation
    excluded_at: Mapped[datetime | None]
    excluded_by: Mapped[str | None]
    excluded_reason: Mapped[str | None] = mapped_column(Text)
    evaluation_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    shuffle: Mapped[float] = mapped_column(Float)  # order of the random strategy, drawn at import
    priority: Mapped[Priority] = mapped_column(
        Coded(Priority), default=Priority.NORMAL, server_default=Priority.NORMAL.value
    )
    created_at: Mapped[datetime] = mapped_column(default=now)
    held_out: Mapped[bool | None]
    new_for_round: Mapped[bool] = mapped_column(default=False, server_default=false())
    has_draft: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Whether the mask that was drawn on one of its examinations is used for the others.
    propagates: Mapped[bool] = mapped_column(default=True, server_default=true())
    participant: Mapped[Participant] = relationship(lazy="joined")
    examinations: Mapped[list[Examination]] = relationship(back_populates="acquisition", order_by="Examination.id")
    __table_args__ = (
        # The order of assignment.
        _partial("ix_acquisitions_imported", "priority", "held_out", "created_at", "id", where=_WAITING),
        _partial("ix_acquisitions_shuffled", "priority", "held_out", "shuffle", "id", where=_WAITING),
        _partial(
            "ix_acquisitions_of_group", "priority", "held_out", "station", "sequence", "shuffle", "id", where=_WAITING
        ),
        # To count those of another priority than the normal one by group.
        _partial(
            "ix_acquisitions_prioritised",
            "priority",
            "held_out",
            "station",
            "sequence",
            where=f"priority <> 'normal' AND primary_examination_id IS NOT NULL AND {_WAITING}",
        ),
        _partial("ix_acquisitions_annotated", "participant_id", where=_ANNOTATED),
        _flagged("ix_acquisitions_new", "held_out", flag="new_for_round", where=_ANNOTATED),
        _flagged("ix_acquisitions_drafted", "shuffle", "id", flag="has_draft", where=_WAITING),
        _partial("ix_acquisitions_excluded", "excluded_at", where="excluded_at IS NOT NULL"),
        _partial("ix_acquisitions_without_image", "id", where="primary_examination_id IS NULL"),
        _partial("ix_acquisitions_priority", "priority", where="priority <> 'normal'"),
    )


class Examination(Base):
    """One stored image.

    ``labelled`` says whether it carries the mask of its acquisition, and :mod:`mrseg_label.catalog.propagation` keeps it.

    ``case_station`` and ``case_state`` repeat what its acquisition says, so that a list of a million rows is filtered and
    sorted along an index. Triggers of the database keep them, whichever statement changes the acquisition.
    """

    __tablename__ = "examinations"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ex"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    sequence: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(Text)  # the imported file, for the admin
    source_digest: Mapped[str] = mapped_column(String(64), index=True)
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    # imaging.same_scan.fingerprint(); None for images of earlier versions that no import was compared with yet.
    fingerprint: Mapped[str | None] = mapped_column(String(64), index=True)
    geometry: Mapped[dict[str, Any]]  # imaging.geometry.Geometry.to_json()
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    swap: Mapped[SwapState | None] = mapped_column(Coded(SwapState), index=True)  # None: never suspected
    misregistration: Mapped[Misregistration | None] = mapped_column(Coded(Misregistration))  # None: never suspected
    labelled: Mapped[Labelled | None] = mapped_column(Coded(Labelled))
    licence: Mapped[str | None] = mapped_column(String(200))  # under which the image was received, as its import stated
    # Of DICOM: what stands for the UID of its series, and for all that the archive had of its study when it was fetched
    # from there. Both follow from the key of the workspace, so that nobody without it finds a UID by them.
    dicom_series: Mapped[str | None] = mapped_column(String(40))
    dicom_study: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=now)
    case_station: Mapped[str] = mapped_column(default="", server_default="")
    # excluded, annotated, no_image or waiting: what does not change with time; whether a reader has the case is asked anew.
    case_state: Mapped[CaseState] = mapped_column(
        Coded(CaseState), default=CaseState.WAITING, server_default=CaseState.WAITING.value
    )
    acquisition: Mapped[Acquisition] = relationship(back_populates="examinations", lazy="joined")
    __table_args__ = (
        Index("ix_examinations_newest", "created_at", "id"),
        Index("ix_examinations_by_state", "case_state", "created_at", "id"),
        Index("ix_examinations_listed", "case_station", "sequence", "case_state", "created_at", "id"),
        _partial("ix_examinations_labelled", "case_state", "labelled", where="labelled IS NOT NULL"),
        _partial("ix_examinations_misregistration", "misregistration", where="misregistration IS NOT NULL"),
        _partial("ix_examinations_dicom_series", "dicom_series", where="dicom_series IS NOT NULL"),
        _partial("ix_examinations_dicom_study", "dicom_study", where="dicom_study IS NOT NULL"),
    )


class Alias(Base):
    """The name under which a client uploaded an image."""

    __tablename__ = "aliases"
    client: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
