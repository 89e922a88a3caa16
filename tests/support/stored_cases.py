"""Annotated cases with small real files, for tests of what reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Examination,
    Participant,
    Presegmentation,
)
from mrseg_label.catalog.types import AnnotationState, StructureState
from mrseg_label.clock import now
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.workspace import Workspace

CHANNELS = ("in", "water")
SHAPE = (6, 5, 4)
# Left, posterior, superior: not the orientation that nnU-Net gets.
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -2.5, 0, 20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


def store_case(
    workspace: OpenedWorkspace,
    code: str,
    *,
    held_out: bool = False,
    not_annotated: tuple[str, ...] = (),
    drafted: bool = True,
    drawn: str = "liver",
    at: tuple[slice, ...] = (slice(3),),
    channels: tuple[str, ...] = CHANNELS,
) -> str:
    """Store an acquisition, by default of two channels, a pre-segmentation and an accepted correction; return the acquisition's id.

    The pre-segmentation has the liver in one half of the grid and the spleen in the other; the correction has only
    the liver (or ``drawn`` in its place, or ``at`` another), in one voxel less. Without ``drafted`` there is no
    pre-segmentation.
    """
    scheme = workspace.scheme
    geometry = Geometry(SHAPE, AFFINE)
    presegmentation = np.zeros(SHAPE, dtype=np.uint8)
    presegmentation[:3] = scheme["liver"].id
    presegmentation[3:] = scheme["spleen"].id
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[at] = scheme[drawn].id
    mask[0, 0, 0] = 0
    random = np.random.default_rng(len(code))

    with workspace.catalog.begin() as session:
        person = Participant(code=code, held_out=held_out)
        session.add(person)
        session.flush()
        key = json.dumps([code, "", "abdomen", 1])
        case = Acquisition(
            participant_id=person.id, key=key, station="abdomen", sequence="in", shuffle=0.5, annotated_at=now()
        )
        session.add(case)
        session.flush()
        for channel in channels:
            path, digest = _put(
                workspace, f"images/{code}/{channel}.nii.gz", random.integers(0, 900, SHAPE).astype(np.int16)
            )
            examination = Examination(
                acquisition_id=case.id,
                sequence=channel,
                source=f"{code}/{channel}.nii.gz",
                source_digest=digest,
                path=path,
                digest=digest,
                geometry=geometry.to_json(),
            )
            session.add(examination)
            session.flush()
            if channel == "in":
                case.primary_examination_id = examination.id
        assert case.primary_examination_id is not None
        proposal = add_draft(workspace, session, case, presegmentation) if drafted else None
        path, digest = _put(workspace, f"annotations/{case.id}/0001.nii.gz", mask)
        annotation = Annotation(
            acquisition_id=case.id,
            examination_id=case.primary_examination_id,
            number=1,
            state=AnnotationState.ACCEPTED,
            author="anna",
            client="slicer",
            path=path,
            digest=digest,
            upload_path=path,
            upload_digest=digest,
            presegmentation_id=proposal.id if proposal else None,
            model_version=proposal.model_version if proposal else None,
        )
        annotation.structures = [
            AnnotationStructure(
                structure=name,
                state=StructureState.NOT_ANNOTATED if name in not_annotated else StructureState.CORRECTED,
                voxels=int((mask == scheme[name].id).sum()),
            )
            for name in scheme.names
        ]
        session.add(annotation)
        settle(session, case)
        return case.id


def add_draft(
    workspace: Workspace,
    session: Session,
    case: Acquisition,
    presegmentation: NDArray[np.uint8],
    version: str = "bootstrap",
) -> Presegmentation:
    """Store a pre-segmentation of a stored case by a model version."""
    assert case.primary_examination_id is not None
    path, digest = _put(workspace, f"presegmentations/{case.id}/{version}.nii.gz", presegmentation)
    row = Presegmentation(
        acquisition_id=case.id,
        examination_id=case.primary_examination_id,
        model_version=version,
        source="inverted",
        path=path,
        digest=digest,
    )
    session.add(row)
    session.flush()
    return row


def _put(workspace: Workspace, relative: str, array: NDArray[Any]) -> tuple[str, str]:
    with workspace.scratch() as folder:
        write_nifti(folder / "x.nii.gz", array, Geometry(SHAPE, AFFINE))
        return relative, workspace.put_file(relative, folder / "x.nii.gz")


def stored_annotation_file(workspace: Workspace, acquisition_id: str) -> Path:
    """The path of the mask of such a case."""
    return workspace.path(f"annotations/{acquisition_id}/0001.nii.gz")
