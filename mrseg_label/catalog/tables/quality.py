"""Tables of the quality of annotations: how far two masks agree, and which annotations somebody should look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.clock import now


class MaskAgreement(Base):
    """How far two mask files agree, measured once. ``first_digest`` is the smaller one; the measures are symmetric.

    ``structures`` has ``dsc``, ``hd95_mm`` (null unless it is in both), ``nsd`` (missing in rows of earlier versions) and ``counts`` of each structure that is in either mask.
    Two masks of neighbouring stations are compared where both show the body; then it has ``dsc`` and ``ml``, the volumes there.
    """

    __tablename__ = "mask_agreements"
    first_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    second_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    structures: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class MaskShapes(Base):
    """Size, place and pieces of the structures of a mask file, measured once.

    ``structures`` has :meth:`mrseg_label.imaging.shapes.Shape.to_json` of each structure that the file has.
    """

    __tablename__ = "mask_shapes"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    structures: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelAudit(Base):
    """What a model version makes of the image of an annotation, compared with the annotation.

    ``structures`` has ``dsc`` (null where it does not count), ``hd95_mm`` (null unless both have it) and ``ml``, the volumes of the
    annotation and of the model, of each structure that the reader judged and that either has. Where the version could not segment the
    image, ``problem`` says why.
    """

    __tablename__ = "model_audits"
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"), primary_key=True)
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    structures: Mapped[dict[str, Any]]
    problem: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SuspiciousMask(Base):
    """An annotation or a draft that somebody should look at. All of them are found anew after each submission.

    ``reasons`` has ``kind``, ``structure`` (empty: the whole mask), ``text`` and ``score`` of each, highest score first;
    ``kinds`` the kinds between commas. The row of a draft that was deleted is without meaning until the next search.
    """

    __tablename__ = "suspicious_masks"
    mask_id: Mapped[str] = mapped_column(primary_key=True)  # of the annotation or the pre-segmentation
    mask: Mapped[str] = mapped_column(String(16))  # catalog.queries.doubts.MaskKind
    kinds: Mapped[str]
    reasons: Mapped[list[Any]]
    score: Mapped[float] = mapped_column(Float)  # from 0 to 1; what the list is ranked by
    found_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (Index("ix_suspicious_masks_rank", "score", "mask_id"),)


class Dismissal(Base):
    """A suspicious mask that somebody looked at and found in order, and ``reasons``: kind and structure of each that was known then."""

    __tablename__ = "dismissals"
    mask_id: Mapped[str] = mapped_column(primary_key=True)  # of the annotation or the pre-segmentation
    reasons: Mapped[list[Any]]
    comment: Mapped[str] = mapped_column(Text)
    dismissed_by: Mapped[str]
    dismissed_at: Mapped[datetime]
