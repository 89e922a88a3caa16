"""Add rows to the catalogue, for tests of what reads them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Evaluation,
    Examination,
    Participant,
    Presegmentation,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import AnnotationState, CaseRole, RoundState, StructureState
from mrseg_label.clock import now

CHANNELS = ("in", "opp", "fat", "water")
GEOMETRY = {
    "shape": [4, 5, 6],
    "affine": [[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]],
    "spacing_mm": [2.0, 2.0, 3.0],
    "axcodes": "RAS",
}


def add_participant(session: Session, code: str, *, held_out: bool | None = None) -> Participant:
    """A participant."""
    row = Participant(code=code, held_out=held_out)
    session.add(row)
    session.flush()
    return row


def add_acquisition(
    session: Session, participant: Participant, *, station: str = "abdomen", at: datetime | None = None
) -> Acquisition:
    """An acquisition of four channels on one grid; its primary examination is the in-phase channel."""
    row = Acquisition(
        participant_id=participant.id,
        key=json.dumps([participant.code, "", station, 1]),
        station=station,
        sequence="in",
        shuffle=0.5,
    )
    session.add(row)
    session.flush()
    for offset, channel in enumerate(CHANNELS):
        examination = Examination(
            acquisition_id=row.id,
            sequence=channel,
            source=f"{participant.code}_{channel}.nii.gz",
            source_digest=f"{participant.code}-{station}-{channel}",
            path=f"images/{participant.code}/{station}_{channel}.nii.gz",
            digest=f"{participant.code}-{station}-{channel}",
            geometry=GEOMETRY,
            created_at=(at or now()) + timedelta(microseconds=offset),
        )
        session.add(examination)
        session.flush()
        if channel == "in":
            row.primary_examination_id = examination.id
    return row


def add_annotation(
    session: Session,
    acquisition: Acquisition,
    *,
    model_version: str = "bootstrap",
    edited: int = 100,
    presegmentation_dsc: float = 0.5,
    structures: dict[str, float] | None = None,
    seconds: float | None = 60.0,
    number: int = 1,
) -> Annotation:
    """A pre-segmentation of the acquisition, unless it has one, and an accepted correction of it."""
    primary = acquisition.primary_examination_id
    assert primary is not None
    presegmentation = presegmentations.by_model(session, acquisition.id, model_version)
    if presegmentation is None:
        presegmentation = Presegmentation(
            acquisition_id=acquisition.id,
            examination_id=primary,
            model_version=model_version,
            source="inverted",
            path=f"presegmentations/{acquisition.id}-{model_version}.nii.gz",
            digest="d" * 64,
        )
        session.add(presegmentation)
        session.flush()
    row = Annotation(
        acquisition_id=acquisition.id,
        examination_id=primary,
        number=number,
        state=AnnotationState.ACCEPTED,
        author="reader",
        client="reader",
        path=f"annotations/{acquisition.id}-{number}.nii.gz",
        digest="e" * 64,
        upload_path=f"annotations/{acquisition.id}-{number}-upload.nrrd",
        upload_digest="f" * 64,
        presegmentation_id=presegmentation.id,
        model_version=model_version,
        seconds=seconds,
        effort={
            "edited_voxels": edited,
            "edited_ml": edited * 0.012,
            "mean_dsc": presegmentation_dsc,
            "draft": presegmentation.id,
            "sitting_seconds": seconds,
        },
    )
    row.structures = [
        AnnotationStructure(structure=name, state=StructureState.CORRECTED, voxels=100, edited_voxels=edited, dsc=dsc)
        for name, dsc in (structures or {"liver": presegmentation_dsc}).items()
    ]
    session.add(row)
    acquisition.annotated_at = acquisition.annotated_at or now()
    settle(session, acquisition)
    session.flush()
    return row


def add_round(
    session: Session, number: int, cases: list[tuple[Annotation, CaseRole]], state: RoundState = RoundState.DONE
) -> Round:
    """A round with some annotations in its snapshot."""
    row = Round(number=number, state=state, profile="tiny", parent="bootstrap", started_at=now(), finished_at=now())
    session.add(row)
    session.flush()
    for annotation, role in cases:
        session.add(
            RoundCase(
                round_number=number, annotation_id=annotation.id, acquisition_id=annotation.acquisition_id, role=role
            )
        )
    session.flush()
    return row


def add_evaluation(
    session: Session, version: str, annotation: Annotation, mean_dsc: float, dsc: dict[str, float | None]
) -> Evaluation:
    """The evaluation of a model version on the examination that was annotated."""
    row = Evaluation(
        model_version=version,
        annotation_id=annotation.id,
        examination_id=annotation.examination_id,
        mean_dsc=mean_dsc,
        dsc=dsc,
    )
    session.add(row)
    session.flush()
    return row
