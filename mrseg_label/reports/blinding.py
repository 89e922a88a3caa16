"""What a radiologist must not find out: that a case is a gold case, or one that he finished before.

Where such cases are or were assigned, no document tells a radiologist which image an assignment or an annotation of his is
of: it names the assignment in place of the examination, hides the participant, and calls every annotation the first and
final one of its case. All his documents do, so that none stands out.

Nor does he find out by what changes while he works. Every count of cases that he is shown counts his gold and repeated cases
as if they were ordinary ones, and no document tells him in which state a case is.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import blind_readings
from mrseg_label.catalog.queries.blind_readings import BlindCounts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import CaseState, Role
from mrseg_label.errors import Forbidden
from mrseg_label.reports.documents.annotations import AnnotationOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.drafts import ExaminationDetail
from mrseg_label.reports.documents.examinations import ExaminationOut
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


def read_own_blind(workspace: OpenedWorkspace, reader: Reader | None) -> BlindCounts:
    """Read what a reader's gold and repeated cases add to the counts that the reader is shown; nothing for others."""
    if reader is None or reader.account is None or not hides_cases(workspace, reader):
        return BlindCounts()
    with workspace.catalog.read() as session:
        return blind_readings.counts_of_reader(session, reader.account, workspace.catalog.now(session))


def check_sees_states(workspace: OpenedWorkspace, reader: Reader) -> None:
    """Raise :class:`Forbidden` if this reader must not know which cases are annotated."""
    if hides_cases(workspace, reader):
        raise Forbidden(
            "radiologists are not shown which cases are annotated or how they were, while some of their cases come to measure "
            "agreement; leave out the filter, or ask a reviewer"
        )


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
    if isinstance(document, ExaminationOut):
        return document.model_copy(
            update={
                **dict.fromkeys(("annotated", "assigned_until", "handed_out_until", "labelled", "excluded")),
                "digest": "",  # by which the image of a case of his could be found
                "state": CaseState.WAITING,
                **({"not_labelled": None} if isinstance(document, ExaminationDetail) else {}),
            }
        )
    return document


def case_name(assignment_id: str) -> str:
    """Name a case by its assignment: readers can tell their cases apart, and nothing else."""
    return f"case {assignment_id[-6:]}"
