"""What a radiologist must not find out: that a case is a gold case, or one that he finished before.

Where such cases are or were assigned, no document tells a radiologist which image an assignment or an annotation of his is
of: it names the assignment in place of the examination, hides the participant, and calls every annotation the first and
final one of its case. All his documents do, so that none stands out.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import blind_readings
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Role
from mrseg_label.reports.documents.annotations import AnnotationOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.worklist import ReservationOut
from mrseg_label.worklist import blind

Document = TypeVar("Document", bound=BaseModel)


def hides_cases(workspace: OpenedWorkspace, reader: Reader) -> bool:
    """Whether the documents of this reader must not tell which case is which."""
    if reader.role is not Role.RADIOLOGIST:
        return False
    with workspace.catalog.read() as session:
        return blind.hides_cases(workspace.settings, reader, any_blind=blind_readings.any_blind(session))


def read_any_blind(catalog: Catalog) -> bool:
    """Read whether a reader ever got a case without knowing why."""
    with catalog.read() as session:
        return blind_readings.any_blind(session)


def as_seen_by(workspace: OpenedWorkspace, reader: Reader, document: Document) -> Document:
    """Return a document, or a page of documents, as this reader may see it."""
    return without_case(document) if hides_cases(workspace, reader) else document


def without_case(document: Document) -> Document:
    """Return a document, or a page of documents, that does not tell which case is which."""
    if isinstance(document, Page):
        return document.model_copy(update={"items": [without_case(item) for item in document.items]})
    if isinstance(document, ReservationOut):
        purpose = "correct" if document.purpose == "second_read" else document.purpose
        return document.model_copy(
            update={
                "examination": document.id,
                "participant": case_name(document.id),
                "purpose": purpose,
                "blind": None,
                "draft_withheld": None,
            }
        )
    if isinstance(document, AnnotationOut):
        return document.model_copy(
            update={
                "examination": document.assignment or document.id,
                "propagated": False,
                "number": 1,
                "is_final": True,
                "presegmentation": None,
            }
        )
    return document


def case_name(assignment_id: str) -> str:
    """Name a case by its assignment: readers can tell their cases apart, and nothing else."""
    return f"case {assignment_id[-6:]}"
