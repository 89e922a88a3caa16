"""A case in every state that a case can have, made by the services that bring it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import update

from mrseg_label.annotation import review
from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import rounds
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Acquisition,
    Assignment,
    ModelVersion,
    Presegmentation,
    Review,
)
from mrseg_label.catalog.types import IMPORT_AUTHOR, CaseRole, ModelStatus
from mrseg_label.clock import now
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.exclusion import exclude
from mrseg_label.jobs.draft_jobs import enqueue_presegmentation
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case, mark_unusable, return_to_queue
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import GEOMETRY, add_acquisition, add_participant, add_round

GRID = Geometry.from_json(GEOMETRY)
OLD_MODELS = ("v1", "v2")
REVIEWER = Reader("reviewer")
OTHER = Reader("second reader")


@dataclass(frozen=True)
class Case:
    """A case on its way into a state, with a reader of its own."""

    name: str
    workspace: OpenedWorkspace
    folder: Path
    participant: str
    acquisition: str
    examination: str

    @property
    def reader(self) -> Reader:
        """The reader who annotates this case and no other."""
        return Reader(f"reader of: {self.name}")

    def request(self, purpose: Purpose = Purpose.CORRECT, reader: Reader | None = None) -> None:
        request_case(self.workspace, reader or self.reader, purpose, self.acquisition)

    def assign(self) -> None:
        self.request()
        case = assign_next_case(self.workspace, self.reader, "balanced")
        assert case is not None and case.acquisition_id == self.acquisition

    def annotate(self, *, needs_review: bool = False, reader: Reader | None = None) -> Submitted:
        upload = self.folder / "upload.nii.gz"
        write_nifti(upload, np.random.default_rng().integers(0, 2, GRID.shape).astype(np.uint8), GRID)
        return submit(
            with_review(self.workspace) if needs_review else self.workspace,
            reader or self.reader,
            examination_id=self.examination,
            upload=upload,
            file_name=upload.name,
            label_info=[{"name": "liver"}],
        )

    def reject(self, sent: Submitted) -> None:
        review.reject(self.workspace.catalog, sent.annotation_id, reviewer=REVIEWER.name, comment="too large")

    def withdraw(self, sent: Submitted) -> None:
        review.withdraw(self.workspace.catalog, sent.annotation_id, actor=self.reader.name, comment="")

    def put_into_snapshot(self) -> None:
        with self.workspace.catalog.begin() as session:
            annotation = annotation_rows.final(session, self.acquisition)
            assert annotation is not None
            add_round(session, rounds.next_number(session), [(annotation, CaseRole.TRAINING)])

    def change(self, **values: object) -> None:
        """Change the acquisition's row where no service brings about the state."""
        with self.workspace.catalog.begin() as session:
            session.execute(update(Acquisition).where(Acquisition.id == self.acquisition).values(**values))

    def let_assignment_expire(self) -> None:
        with self.workspace.catalog.begin() as session:
            own = Assignment.acquisition_id == self.acquisition
            session.execute(update(Assignment).where(own).values(expires_at=now() - timedelta(seconds=1)))

    def let_reservation_end(self, sent: Submitted) -> None:
        with self.workspace.catalog.begin() as session:
            own = Review.annotation_id == sent.annotation_id
            session.execute(update(Review).where(own).values(created_at=now() - timedelta(hours=25)))


def with_review(workspace: OpenedWorkspace) -> OpenedWorkspace:
    """The same workspace with REVIEW required."""
    return replace(workspace, settings=workspace.settings.model_copy(update={"review": "required"}))


def add_presegmentation(case: Case, version: str) -> None:
    """A stored pre-segmentation of a case by a model version."""
    path = f"presegmentations/{case.acquisition}-{version}.nii.gz"
    write_nifti(case.folder / "p.nii.gz", np.full(GRID.shape, version in OLD_MODELS, np.uint8), GRID)
    digest = case.workspace.put_file(path, case.folder / "p.nii.gz")
    with case.workspace.catalog.begin() as session:
        session.add(
            Presegmentation(
                acquisition_id=case.acquisition,
                examination_id=case.examination,
                model_version=version,
                source="nnunet",
                path=path,
                digest=digest,
                details={"uncertainty": {"disagreement": {"liver": 0.5}, "softmax": {}}},
            )
        )


# How a case gets into each state, each by the services that bring it there.


def fresh(_case: Case) -> None:
    pass


def presegmented(case: Case) -> None:
    add_presegmentation(case, BOOTSTRAP)


def being_presegmented(case: Case) -> None:
    with case.workspace.catalog.begin() as session:
        enqueue_presegmentation(session, case.acquisition, BOOTSTRAP)


def requested(case: Case) -> None:
    case.request()


def assigned(case: Case) -> None:
    case.assign()


def assignment_expired(case: Case) -> None:
    case.assign()
    case.let_assignment_expire()


def returned(case: Case) -> None:
    case.assign()
    return_to_queue(case.workspace.catalog, case.reader, case.acquisition)


def annotated(case: Case) -> None:
    case.assign()
    case.annotate()


def being_corrected(case: Case) -> None:
    annotated(case)
    case.assign()


def awaiting_review(case: Case) -> None:
    case.assign()
    case.annotate(needs_review=True)


def under_review(case: Case) -> None:
    awaiting_review(case)
    case.request(Purpose.REVIEW, REVIEWER)


def review_expired(case: Case) -> None:
    awaiting_review(case)
    case.request(Purpose.REVIEW, OTHER)
    case.let_assignment_expire()


def accepted(case: Case) -> None:
    sent = case.annotate(needs_review=True)
    review.accept(case.workspace.catalog, sent.annotation_id, reviewer=REVIEWER.name)


def rejected(case: Case) -> None:
    case.reject(case.annotate(needs_review=True))


def rejected_and_fetched(case: Case) -> None:
    rejected(case)
    case.assign()


def rejected_long_ago(case: Case) -> None:
    sent = case.annotate(needs_review=True)
    case.reject(sent)
    case.let_reservation_end(sent)


def correction_rejected(case: Case) -> None:
    accepted(case)
    case.reject(case.annotate(needs_review=True))


def rejected_beside_another(case: Case) -> None:
    first = case.annotate(needs_review=True)
    case.annotate(needs_review=True, reader=OTHER)
    case.reject(first)


def withdrawn(case: Case) -> None:
    case.withdraw(case.annotate())


def newer_one_withdrawn(case: Case) -> None:
    case.annotate()
    case.withdraw(case.annotate())


def second_reading_open(case: Case) -> None:
    case.annotate()
    case.request(Purpose.SECOND_READ, OTHER)


def second_reading_awaiting_review(case: Case) -> None:
    second_reading_open(case)
    case.annotate(needs_review=True, reader=OTHER)


def second_reading_left(case: Case) -> None:
    sent = case.annotate()
    case.request(Purpose.SECOND_READ, OTHER)
    case.withdraw(sent)


def unusable(case: Case) -> None:
    case.assign()
    mark_unusable(case.workspace.catalog, case.reader, case.acquisition, "motion")


def excluded(case: Case) -> None:
    exclude(case.workspace.catalog, case.examination, reason="motion", actor="admin")


def excluded_while_requested(case: Case) -> None:
    case.request()
    exclude(case.workspace.catalog, case.acquisition, reason="motion", actor="admin")


def excluded_while_awaiting_review(case: Case) -> None:
    awaiting_review(case)
    exclude(case.workspace.catalog, case.acquisition, reason="motion", actor="admin")


def excluded_after_rejection(case: Case) -> None:
    rejected(case)
    exclude(case.workspace.catalog, case.acquisition, reason="motion", actor="admin")


def participant_excluded(case: Case) -> None:
    case.annotate()
    exclude(case.workspace.catalog, case.participant, reason="consent withdrawn", actor="admin")


def without_primary_examination(case: Case) -> None:
    case.change(primary_examination_id=None)


def rejected_without_primary_examination(case: Case) -> None:
    rejected(case)
    case.change(primary_examination_id=None)


def mask_imported(case: Case) -> None:
    case.annotate(reader=Reader(IMPORT_AUTHOR))


def imported_mask_corrected(case: Case) -> None:
    mask_imported(case)
    case.assign()
    case.annotate()


def in_snapshot(case: Case) -> None:
    case.annotate()
    case.put_into_snapshot()


def annotated_since_snapshot(case: Case) -> None:
    in_snapshot(case)
    case.assign()
    case.annotate()


WAITING, ANNOTATED, NEW = "waiting", "annotated", "new for the round"
BEING_ANNOTATED, ASSIGNED, REVIEW, EXCLUDED = "being annotated", "assigned", "awaiting review", "excluded"
STATES: dict[Callable[[Case], None], set[str]] = {
    fresh: {WAITING},
    presegmented: {WAITING},
    being_presegmented: {WAITING},
    requested: {BEING_ANNOTATED, ASSIGNED},
    assigned: {BEING_ANNOTATED, ASSIGNED},
    returned: {WAITING},
    annotated: {ANNOTATED, NEW},
    being_corrected: {ANNOTATED, NEW, ASSIGNED},
    awaiting_review: {BEING_ANNOTATED, REVIEW},
    under_review: {BEING_ANNOTATED, REVIEW, ASSIGNED},
    accepted: {ANNOTATED, NEW},
    rejected: {WAITING},
    rejected_and_fetched: {BEING_ANNOTATED, ASSIGNED},
    rejected_long_ago: {WAITING},
    rejected_beside_another: {BEING_ANNOTATED, REVIEW},
    correction_rejected: {ANNOTATED, NEW},
    withdrawn: {WAITING},
    newer_one_withdrawn: {ANNOTATED, NEW},
    second_reading_open: {ANNOTATED, NEW, ASSIGNED},
    second_reading_awaiting_review: {ANNOTATED, NEW, REVIEW},
    second_reading_left: {WAITING, ASSIGNED},
    unusable: {EXCLUDED},
    excluded: {EXCLUDED},
    excluded_while_requested: {EXCLUDED},
    excluded_while_awaiting_review: {EXCLUDED},
    excluded_after_rejection: {EXCLUDED},
    participant_excluded: {EXCLUDED},
    without_primary_examination: set(),
    rejected_without_primary_examination: set(),
    mask_imported: {ANNOTATED},
    imported_mask_corrected: {ANNOTATED, NEW},
    in_snapshot: {ANNOTATED},
    annotated_since_snapshot: {ANNOTATED},
    # The last, since the next assignment or submission ends what has expired.
    review_expired: {BEING_ANNOTATED, REVIEW},
    assignment_expired: {WAITING},
}


def names_in(state: str) -> set[str]:
    """Names of the cases that are in a state."""
    return {make.__name__ for make, states in STATES.items() if state in states}


@dataclass(frozen=True)
class Cases:
    """A workspace with one case in every state."""

    workspace: OpenedWorkspace
    names: dict[str, str]  # by acquisition

    def named(self, acquisition_ids: Iterable[str]) -> list[str]:
        """Names of acquisitions."""
        return sorted(self.names[identifier] for identifier in acquisition_ids)


def make_cases(folder: Path, settings: str) -> Iterator[Cases]:
    """A workspace with a case in each of these states, for a fixture."""
    Workspace.init(folder / "ws", settings_text=f'AUTH = "off"\nREVIEW = "off"\n{settings}')
    with closing(open_workspace(folder / "ws")) as workspace:
        made: list[tuple[Callable[[Case], None], Case]] = []
        with workspace.catalog.begin() as session:
            session.add_all(ModelVersion(version=version, status=ModelStatus.RETIRED) for version in OLD_MODELS)
            for index, make in enumerate(STATES):
                code = f"P{index:02d}"
                row = add_acquisition(session, add_participant(session, code), station=f"station {index % 3}")
                assert row.primary_examination_id is not None
                case = Case(make.__name__, workspace, folder, code, row.id, row.primary_examination_id)
                made.append((make, case))
        for _, case in made:
            for version in OLD_MODELS:
                add_presegmentation(case, version)
        for make, case in made:
            make(case)
        yield Cases(workspace, {case.acquisition: case.name for _, case in made})
