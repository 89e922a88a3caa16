"""Participants who were imaged station by station, with small real files that show one continuous body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.tables import Acquisition, Annotation, AnnotationStructure, Examination, Participant
from mrseg_label.catalog.types import AnnotationState, StructureState
from mrseg_label.clock import now
from mrseg_label.imaging import Geometry, write_nifti

XY = (8, 6)
SPACING = (3.0, 3.0, 4.0)
AUTHOR = "anna"


@dataclass(frozen=True)
class Stored:
    """A stored station: the id of its acquisition, of its examinations by sequence, and its grid."""

    acquisition: str
    examinations: dict[str, str]
    geometry: Geometry


def grid(bottom_mm: float, slices: int, spacing: Sequence[float] = SPACING, axcodes: str = "RAS") -> Geometry:
    """The grid of a station that begins at a height; with LPS its first two axes run the other way round."""
    affine = np.diag([*spacing, 1.0])
    affine[2, 3] = bottom_mm
    if axcodes == "LPS":
        for axis in (0, 1):
            affine[axis, 3] = spacing[axis] * (XY[axis] - 1)
            affine[axis, axis] = -spacing[axis]
    return Geometry((*XY, slices), affine)


def body(geometry: Geometry) -> NDArray[np.int16]:
    """Grey values that depend on the place in the body alone, RAS: equal wherever stations overlap."""
    i, j, k = np.meshgrid(*(np.arange(size) for size in geometry.shape), indexing="ij")
    world = np.einsum("ab,bijk->aijk", geometry.affine, np.stack([i, j, k, np.ones_like(i)]))
    values: NDArray[np.int16] = np.rint(100 + world[0] + 2 * world[1] + 0.5 * world[2]).astype(np.int16)
    return values


def store_station(
    workspace: OpenedWorkspace,
    code: str,
    name: str,
    geometry: Geometry,
    *,
    mask: NDArray[np.uint8] | None = None,
    session_name: str = "",
    sequences: Sequence[str] = ("in", "water"),
    state: AnnotationState = AnnotationState.ACCEPTED,
    not_annotated: Sequence[str] = (),
    author: str = AUTHOR,
    number: int = 1,
) -> Stored:
    """Store a station of a participant, with an annotation of the first sequence where a mask is given."""
    scheme = workspace.scheme
    with workspace.catalog.begin() as session:
        person = participants.by_code(session, code)
        if person is None:
            person = Participant(code=code, held_out=False, sex="F", age=54.0)
            session.add(person)
            session.flush()
        case = Acquisition(
            participant_id=person.id,
            key=json.dumps([code, session_name, name, number]),
            station=name,
            sequence=sequences[0],
            shuffle=0.5,
            annotated_at=now() if mask is not None and state is AnnotationState.ACCEPTED else None,
        )
        session.add(case)
        session.flush()
        found = {}
        for offset, sequence in enumerate(sequences):
            path = f"images/{case.id}/{sequence}.nii.gz"
            digest = _put(workspace, path, body(geometry) + np.int16(1000 * offset), geometry)
            row = Examination(
                acquisition_id=case.id, sequence=sequence, source=path, source_digest=digest, path=path, digest=digest,
                geometry=geometry.to_json(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            found[sequence] = row.id
        case.primary_examination_id = found[sequences[0]]
        if mask is not None:
            path = f"annotations/{case.id}/0001.nii.gz"
            digest = _put(workspace, path, mask, geometry)
            annotation = Annotation(
                acquisition_id=case.id, examination_id=found[sequences[0]], number=1, state=state, author=author,
                client="slicer", path=path, digest=digest, upload_path=path, upload_digest=digest,
            )  # fmt: skip
            annotation.structures = [
                AnnotationStructure(
                    structure=one.name,
                    state=StructureState.NOT_ANNOTATED if one.name in not_annotated else StructureState.DRAWN,
                    voxels=int((mask == one.id).sum()),
                )
                for one in scheme
            ]
            session.add(annotation)
        return Stored(case.id, found, geometry)


def _put(workspace: OpenedWorkspace, relative: str, array: NDArray[np.generic], geometry: Geometry) -> str:
    with workspace.scratch() as folder:
        write_nifti(folder / "x.nii.gz", array, geometry)
        return workspace.put_file(relative, folder / "x.nii.gz")
