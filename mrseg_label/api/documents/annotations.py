"""Reviews, readings compared, cases that readers ask for, and what is sent to decide on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from mrseg_label.annotation.readings import Agreement
from mrseg_label.annotation.review import MAX_COMMENT
from mrseg_label.api.documents.base import Moment
from mrseg_label.catalog.tables import Review
from mrseg_label.catalog.types import Verdict, finite
from mrseg_label.worklist.asking import Purpose
from mrseg_label.worklist.leasing import HandedOut


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("must be printable text")
    return name


def _plain(text: str) -> str:
    if any(not character.isprintable() and character not in "\n\r\t" for character in text):
        raise ValueError("must be text without control characters")
    return text


Reader = Annotated[
    str | None,
    Field(max_length=200, description="the reader's name, as in Slicer's settings; needed without sign-in"),
    AfterValidator(lambda name: None if name is None else _printable(name)),
]
Text = Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(_plain)]
Comment = Text


class ReviewOut(BaseModel):
    """What was said of a submission."""

    reviewer: str
    verdict: Verdict
    comment: str
    created: Moment

    @classmethod
    def of(cls, row: Review) -> ReviewOut:
        """From its row."""
        return cls(reviewer=row.reviewer, verdict=row.verdict, comment=row.comment, created=row.created_at)


class Decision(BaseModel):
    """Who decides, and why."""

    model_config = {"extra": "forbid"}
    client: Reader = None
    comment: Comment = ""


class Named(BaseModel):
    """Who asks."""

    model_config = {"extra": "forbid"}
    client: Reader = None


class Unusable(Named):
    """Why a case cannot be used."""

    reason: Annotated[Text, Field(min_length=1)]


class Wish(Named):
    """Which case a reader wants, and what for."""

    purpose: Purpose = Purpose.CORRECT
    examination: str | None = Field(None, description="may be left out for a second reading or a review")


class HandedOutOut(BaseModel):
    """A case reserved for a reader, who gets it with the next request for a case."""

    examination: str
    ticket: str = Field(description="stands for the examination, for this reader and until the lease ends")
    name: str = Field(description="file name of the image")
    checksum: str
    until: Moment = Field(description="end of the lease")
    revision: str | None = Field(description="mask that infer gives instead of a draft")
    comment: str = Field(description="why that mask was sent back")

    @classmethod
    def of(cls, case: HandedOut) -> HandedOutOut:
        """From what the worklist says."""
        return cls(
            examination=case.examination_id,
            ticket=case.ticket,
            name=case.file_name,
            checksum=f"SHA256:{case.digest}",
            until=case.expires_at,
            revision=case.revision_id,
            comment=case.comment,
        )


class AgreementOut(BaseModel):
    """How alike two readings are of one structure."""

    dsc: float | None = Field(description="null where both say that it is absent")
    hd95_mm: float | None = Field(description="null where it is absent in one of the two")


class ReadingsOut(BaseModel):
    """Two readings of one case, structure by structure, where both readers judged."""

    first: str
    second: str
    mean_dsc: float | None
    structures: dict[str, AgreementOut]

    @classmethod
    def of(cls, first: str, second: str, found: Mapping[str, Agreement]) -> ReadingsOut:
        """From the comparison."""
        structures = {
            name: AgreementOut(dsc=finite(item.dsc), hd95_mm=finite(item.hd95_mm)) for name, item in found.items()
        }
        values = [item.dsc for item in structures.values() if item.dsc is not None]
        mean = sum(values) / len(values) if values else None
        return cls(first=first, second=second, mean_dsc=mean, structures=structures)
