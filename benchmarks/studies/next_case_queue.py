"""A workspace whose waiting cases are those of the phantom, for :mod:`benchmarks.studies.next_case`.

The cases are assigned by the server's own worklist from its own database; only what readers, workers and rounds would add
to the catalogue is added here, without their files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.studies.cohort import Case
from mrseg_label.catalog.draft_details import DraftUncertainty
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, assignments
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Acquisition,
    Annotation,
    Examination,
    ModelVersion,
    Participant,
    Presegmentation,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, CaseRole, ModelStatus, RoundState
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace

READER = Reader("reader")
_GEOMETRY = {"shape": [4, 5, 6], "affine": np.eye(4).tolist(), "spacing_mm": [1.0, 1.0, 1.0], "axcodes": "RAS"}


class Queue:
    """Cases that wait for a reader, in a workspace of its own.

    Parameters
    ----------
    folder : where the workspace is made.
    seed : of the order of import and of that of the strategy ``random``.
    """

    def __init__(self, folder: Path, cases: Sequence[Case], round_size: int, seed: int) -> None:
        Workspace.init(folder, settings_text=f'AUTH = "off"\nROUND_SIZE = {round_size}\nAUTO_ROUND = false\n')
        self._workspace: OpenedWorkspace = open_workspace(folder)
        self._cases: dict[str, Case] = {}
        rng = np.random.default_rng(seed)
        participants = rng.permutation(sorted({case.participant for case in cases})).tolist()
        with self._workspace.catalog.begin() as session:
            for code in participants:
                participant = Participant(code=code)
                session.add(participant)
                session.flush()
                for case in (case for case in cases if case.participant == code):
                    row = Acquisition(
                        participant_id=participant.id,
                        key=json.dumps([code, "", case.station, 1]),
                        station=case.station,
                        sequence=case.sequence,
                        shuffle=float(rng.random()),
                    )
                    session.add(row)
                    session.flush()
                    examination = Examination(
                        acquisition_id=row.id,
                        sequence=case.sequence,
                        source=case.name,
                        source_digest=case.name,
                        path=f"images/{case.name}.nii.gz",
                        digest=case.name,
                        geometry=_GEOMETRY,
                    )
                    session.add(examination)
                    session.flush()
                    row.primary_examination_id = examination.id
                    self._cases[row.id] = case

    def close(self) -> None:
        """Close the database."""
        self._workspace.close()

    @property
    def waiting(self) -> list[Case]:
        """Cases that nobody has annotated."""
        with self._workspace.catalog.read() as session:
            return [case for key, case in self._cases.items() if session.get_one(Acquisition, key).annotated_at is None]

    def is_held_out(self, case: Case) -> bool:
        """Whether models are tested, instead of trained, on the participant's cases."""
        with self._workspace.catalog.read() as session:
            return bool(session.get_one(Acquisition, self._key(case)).participant.held_out)

    def annotate_next(self, strategy: str) -> Case:
        """Assign the next case and annotate it."""
        assigned = assign_next_case(self._workspace, READER, strategy)
        assert assigned is not None
        with self._workspace.catalog.begin() as session:
            moment = self._workspace.catalog.now(session)
            row = acquisitions.get(session, assigned.acquisition_id)
            assert row is not None
            assert row.primary_examination_id is not None
            session.add(
                Annotation(
                    acquisition_id=row.id,
                    examination_id=row.primary_examination_id,
                    number=1,
                    state=AnnotationState.ACCEPTED,
                    author=READER.name,
                    client=READER.client,
                    path=f"annotations/{row.id}.nii.gz",
                    digest=row.id,
                    upload_path=f"annotations/{row.id}-upload.nii.gz",
                    upload_digest=row.id,
                )
            )
            row.annotated_at = moment
            assignment = assignments.open_of_reader(session, row.id, READER, moment)
            assert assignment is not None
            assignment.ended_at, assignment.outcome = moment, AssignmentOutcome.SUBMITTED
        return self._cases[assigned.acquisition_id]

    def finish_round(self, number: int, version: str) -> None:
        """Record a round with everything annotated so far in its snapshot, and promote its model ``version``."""
        with self._workspace.catalog.begin() as session:
            moment = self._workspace.catalog.now(session)
            session.add(
                Round(number=number, state=RoundState.DONE, profile="tiny", started_at=moment, finished_at=moment)
            )
            session.flush()
            for annotation in session.query(Annotation):
                role = (
                    CaseRole.HELD_OUT if self.is_held_out(self._cases[annotation.acquisition_id]) else CaseRole.TRAINING
                )
                session.add(
                    RoundCase(
                        round_number=number,
                        annotation_id=annotation.id,
                        acquisition_id=annotation.acquisition_id,
                        role=role,
                    )
                )
            for model in session.query(ModelVersion).filter_by(status=ModelStatus.CURRENT):
                model.status = ModelStatus.RETIRED
            session.flush()
            session.add(
                ModelVersion(version=version, round_number=number, parent=BOOTSTRAP, status=ModelStatus.CURRENT)
            )

    def store_drafts(self, version: str, drafts: Mapping[Case, DraftUncertainty]) -> None:
        """Record drafts by a model version with how sure they are."""
        with self._workspace.catalog.begin() as session:
            for case, uncertainty in drafts.items():
                row = acquisitions.get(session, self._key(case))
                assert row is not None
                assert row.primary_examination_id is not None
                session.add(
                    Presegmentation(
                        acquisition_id=row.id,
                        examination_id=row.primary_examination_id,
                        model_version=version,
                        source="nnunet",
                        path=f"presegmentations/{row.id}-{version}.nii.gz",
                        digest=row.id,
                        details={"uncertainty": uncertainty},
                    )
                )

    def _key(self, case: Case) -> str:
        return next(key for key, one in self._cases.items() if one == case)
