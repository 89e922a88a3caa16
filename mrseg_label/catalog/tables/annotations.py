"""Tables of the readers' work: pre-segmentations, assignments, annotations, reviews."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, BlindKind, Coded, StructureState, Verdict
from mrseg_label.clock import now
from mrseg_label.ids import new_id


def _partial(name: str, *columns: str, where: str) -> Index:
    """Make an index of those rows alone that meet a condition."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Presegmentation(Base):
    """The label map that a model version proposes for an acquisition."""

    __tablename__ = "presegmentations"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ps"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"))
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))  # the channel it was made on
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    source: Mapped[str] = mapped_column(String(64))  # inverted, equalized, raw, nnunet
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    # What else is known of the mask, typed in mrseg_label.catalog.draft_details; empty of drafts of earlier versions.
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (
        UniqueConstraint("examination_id", "model_version"),
        Index("ix_presegmentations_newest", "acquisition_id", "created_at"),
    )


class Assignment(Base):
    """A case reserved for a reader. An acquisition has at most one open assignment, second readings and reviews aside."""

    __tablename__ = "assignments"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("as"))
    ticket: Mapped[str] = mapped_column(String(64), unique=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    client: Mapped[str]
    account: Mapped[str | None]
    second_reading: Mapped[bool] = mapped_column(default=False)
    # The pre-segmentation that was sent last.
    presegmentation_id: Mapped[str | None] = mapped_column(ForeignKey("presegmentations.id"))
    annotation_id: Mapped[str | None]  # the mask that the reader starts from instead of a pre-segmentation
    strategy: Mapped[str | None] = mapped_column(String(32))  # by which it was chosen; None where it was not
    reason: Mapped[str | None] = mapped_column(Text)  # why the reader got this case
    requested: Mapped[bool] = mapped_column(default=False)  # and not yet fetched as the next case
    # A gold or repeated case, of which the reader is told nothing; it is in place of the waiting case that came next.
    blind: Mapped[BlindKind | None] = mapped_column(Coded(BlindKind))
    blind_of: Mapped[str | None]  # the annotation that the reader's is compared with
    # Whether the reader gets no draft, where that was drawn; None where WITHOUT_DRAFT_SHARE was 0.
    draft_withheld: Mapped[bool | None]
    assigned_by: Mapped[str | None]  # who reserved the case for the reader; None where the reader asked for it
    # It came back to its reader, who requested a case and still had this one; the next request gets another case.
    came_back: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[AssignmentOutcome | None] = mapped_column(Coded(AssignmentOutcome))
    __table_args__ = (
        Index(
            "uq_assignments_open",
            "acquisition_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL AND second_reading = 0"),
            postgresql_where=text("ended_at IS NULL AND NOT second_reading"),
        ),
        Index(
            "ix_assignments_open",
            "created_at",
            "id",
            "expires_at",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_assignments_newest", "created_at", "id"),
        # Without sign-in nobody has an account, and all assignments would be found.
        Index(
            "ix_assignments_of_account",
            "account",
            "outcome",
            "acquisition_id",
            sqlite_where=text("account IS NOT NULL"),
            postgresql_where=text("account IS NOT NULL"),
        ),
        _partial("ix_assignments_blind", "blind", "account", where="blind IS NOT NULL"),
        _partial("ix_assignments_drawn", "draft_withheld", where="draft_withheld IS NOT NULL"),
    )

    def is_open(self, moment: datetime) -> bool:
        """Whether it has neither ended nor expired; as a condition ``queries.concepts.is_open``."""
        return self.ended_at is None and self.expires_at > moment


class Annotation(Base):
    """A mask that a reader submitted, one revision of an acquisition's annotations. Append-only."""

    __tablename__ = "annotations"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("an"))
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"))
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))  # the channel it was drawn on
    number: Mapped[int]  # revision number within the acquisition, from 1
    state: Mapped[AnnotationState] = mapped_column(Coded(AnnotationState))
    author: Mapped[str]
    client: Mapped[str]
    path: Mapped[str] = mapped_column(String(1024))
    digest: Mapped[str] = mapped_column(String(64))
    upload_path: Mapped[str] = mapped_column(String(1024))
    upload_digest: Mapped[str] = mapped_column(String(64))
    presegmentation_id: Mapped[str | None] = mapped_column(ForeignKey("presegmentations.id"))
    model_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    assignment_id: Mapped[str | None] = mapped_column(ForeignKey("assignments.id"))
    seconds: Mapped[float | None] = mapped_column(Float)  # from assignment to submission
    is_final: Mapped[bool] = mapped_column(
        default=True
    )  # the newest such, once accepted, is the acquisition's mask; else a second reading
    # The N of ``version_N``: a reviewer saved it in Slicer beside what was submitted, and it counts only once accepted.
    version: Mapped[int | None]
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what decoding changed
    effort: Mapped[dict[str, Any] | None]  # edited voxels and DSC against the pre-segmentation; measured by a job
    created_at: Mapped[datetime] = mapped_column(default=now)
    structures: Mapped[list[AnnotationStructure]] = relationship(lazy="selectin", cascade="all, delete-orphan")
    __table_args__ = (
        UniqueConstraint("acquisition_id", "number"),
        Index("ix_annotations_state", "state", "created_at"),
        # With the state, or SQLite would look for the annotations of a case among all of a state.
        Index("ix_annotations_of_case", "acquisition_id", "state"),
        Index("ix_annotations_of_author", "author", "created_at", "id"),
        Index("ix_annotations_of_model", "model_version"),
    )

    @property
    def judged(self) -> set[str]:
        """Names of the structures that the reader judged, present or absent."""
        return {item.structure for item in self.structures if item.state.judged}

    @property
    def counts(self) -> bool:
        """Whether it has its place in the history of its case; as a condition ``queries.concepts.counts``."""
        return self.version is None or self.state is AnnotationState.ACCEPTED

    @property
    def awaits_review(self) -> bool:
        """Whether nobody has decided about it yet."""
        return self.state is AnnotationState.SUBMITTED


class GoldCase(Base):
    """A case whose mask an administrator vouches for: readers get it without knowing, and are compared with the mask."""

    __tablename__ = "gold_cases"
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), primary_key=True)
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"))
    marked_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class AnnotationStructure(Base):
    """One structure of an annotation."""

    __tablename__ = "annotation_structures"
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    structure: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[StructureState] = mapped_column(Coded(StructureState))
    voxels: Mapped[int] = mapped_column(default=0)
    edited_voxels: Mapped[int | None]
    edits: Mapped[int | None]  # connected sets of voxels that it lost or gained
    # Share of both surfaces that is farther from the other than the tolerance; None where it is in neither mask.
    surface_changed: Mapped[float | None] = mapped_column(Float)
    dsc: Mapped[float | None] = mapped_column(Float)  # against the pre-segmentation
    # The model version whose voxels the pre-segmentation had here, where several were mixed; None: the draft's own.
    drafted_by: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        Index(
            "ix_annotation_structures_drafted_by",
            "drafted_by",
            sqlite_where=text("drafted_by IS NOT NULL"),
            postgresql_where=text("drafted_by IS NOT NULL"),
        ),
    )


class SourceScore(Base):
    """How much correction the mask of one source would have needed on an annotated case.

    ``structures`` has three volumes in ml of each structure that the reader judged and that is in either mask: what a
    reader would have to change, of the source's mask, and of the annotation.
    """

    __tablename__ = "source_scores"
    source: Mapped[str] = mapped_column(String(128), primary_key=True)  # as the mixture of a draft names it
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    examination_id: Mapped[str] = mapped_column(ForeignKey("examinations.id"))  # that was segmented
    structures: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Review(Base):
    """A decision about an annotation. Append-only; the last one gives the annotation's state."""

    __tablename__ = "reviews"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("rw"))
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), index=True)
    reviewer: Mapped[str]
    verdict: Mapped[Verdict] = mapped_column(Coded(Verdict))
    comment: Mapped[str] = mapped_column(Text, default="")
    recipient: Mapped[str | None]  # who corrects a rejected annotation, where that is not its author
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Remark(Base):
    """What a reviewer noted about an annotation in Slicer, whether or not it decides anything. Append-only.

    The fields are those of MONAI Label's ``segmentationMeta``, as the client sent them.
    """

    __tablename__ = "remarks"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("rm"))
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), index=True)
    reviewer: Mapped[str]
    status: Mapped[str] = mapped_column(String(100), default="")
    level: Mapped[str] = mapped_column(String(100), default="")  # of difficulty
    comment: Mapped[str] = mapped_column(Text, default="")
    edited_at: Mapped[int] = mapped_column(BigInteger)  # seconds since 1970, by the client's clock
    created_at: Mapped[datetime] = mapped_column(default=now)


class ShownLabel(Base):
    """The annotation that a reviewer was sent last under a tag, which a later one under the same tag does not replace."""

    __tablename__ = "shown_labels"
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 0: the tag ``final``
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"))
