"""Read a reader's own work as one document."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, assignments, reviews
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Verdict
from mrseg_label.reports.agreement import read_own_agreement
from mrseg_label.reports.blinding import case_name, hides_cases, without_case
from mrseg_label.reports.cases import read_annotations
from mrseg_label.reports.documents.mine import MineOut, OpenCaseOut, SentBackOut
from mrseg_label.reports.documents.worklist import ReservationOut


def read_mine(workspace: OpenedWorkspace, reader: Reader, limit: int, cursor: str | None = None) -> MineOut:
    """Read what a reader has open, what came back, and a page of what the reader submitted.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    hidden = hides_cases(workspace, reader)
    finished = read_annotations(workspace.catalog, None, reader.name, limit, cursor)
    agreement = read_own_agreement(workspace, reader.name)
    with workspace.catalog.read() as session:
        moment = workspace.catalog.now(session)
        cases = []
        for row in assignments.all_open_of_reader(session, reader, moment):
            case = acquisitions.get(session, row.acquisition_id)
            if case is None or case.excluded_at is not None:
                continue
            comment = reviews.reason_of_rejection(session, row.annotation_id) if row.annotation_id else ""
            document = ReservationOut.of(row, case, moment)
            shown = (without_case(document) if hidden else document).model_dump()
            cases.append(OpenCaseOut(**shown, opened=not row.requested, comment=comment))
        back = [
            _sent_back(session, one, hidden=hidden)
            for one in reviews.sent_back(session, moment)
            if one.recipient == reader.name
        ]
    return MineOut(
        reader=reader.name,
        open=cases,
        sent_back=back,
        finished=without_case(finished) if hidden else finished,
        agreement=agreement if agreement.cases else None,
    )


def _sent_back(session: Session, one: reviews.SentBack, *, hidden: bool) -> SentBackOut:
    assignment = one.annotation.assignment_id if hidden else None
    rejections = [row for row in reviews.of_annotation(session, one.annotation.id) if row.verdict is Verdict.REJECTED]
    return SentBackOut(
        annotation=one.annotation.id,
        examination=assignment if hidden else one.case.primary_examination_id,
        participant=case_name(assignment or one.annotation.id) if hidden else one.case.participant.code,
        station=one.case.station,
        reviewer=rejections[-1].reviewer,
        comment=rejections[-1].comment,
        rejected=one.rejected_at,
    )
