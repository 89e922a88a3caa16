"""Tables of the quality of annotations: how far two masks agree, and which annotations somebody should look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.clock import now


class MaskAgreement(Base):
    """How far two mask files agree, measured once. ``first_digest`` is the smaller one; the measures are symmetric.

    ``structures`` has ``dsc``, ``hd95_mm`` (null unless it is in both) and ``counts`` of each structure that is in either mask.
    """

    __tablename__ = "mask_agreements"
    first_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    second_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    structures: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Suspicion(Base):
    """An annotation that somebody should look at. All of them are found anew after each submission.

    ``reasons`` has ``kind``, ``structure`` (empty: the whole mask) and ``text`` of each; ``kinds`` the kinds between commas.
    """

    __tablename__ = "suspicions"
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.id"), primary_key=True)
    kinds: Mapped[str]
    reasons: Mapped[list[Any]]
    found_at: Mapped[datetime] = mapped_column(default=now)
