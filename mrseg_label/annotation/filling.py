"""A mask completed: what its reader did not judge is taken from the model's draft.

Training data and what a reader begins with again want whole masks. The mask that counts is never filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import drafts
from mrseg_label.catalog.tables import Presegmentation, Revision
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.workspace import Workspace


@dataclass(frozen=True)
class Filled:
    """A mask on disk.

    Attributes
    ----------
    path : the stored file where nothing was filled, else one in the caller's folder.
    digest : SHA-256 of the stored file; None for a file of the caller's.
    structures : names of those that were filled, in the order of the ids.
    """

    path: Path
    digest: str | None
    structures: tuple[str, ...] = ()


def fill(workspace: Workspace, session: Session, revision: Revision, folder: Path) -> Filled:
    """The revision's mask, with what its reader did not vouch for filled from the draft that was corrected.

    Where the case had no draft then, the newest one since is used. What the reader drew always stays on top.

    Raises
    ------
    GeometryError
        The draft does not lie on the revision's grid.
    """
    scheme = workspace.scheme
    missing = [scheme[item.structure] for item in revision.structures if not item.state.judged]
    draft = _draft_of(session, revision)
    stored = workspace.path(revision.path)
    if not missing or draft is None:
        return Filled(stored, revision.digest)
    mask, geometry = read_mask(stored)
    proposal, draft_geometry = read_mask(workspace.path(draft.path))
    geometry.require(draft_geometry, f"revision {revision.id} and its draft {draft.id}")
    free = np.where(mask == 0, proposal, 0)
    present = np.bincount(free.ravel(order="K"), minlength=len(scheme) + 1) > 0
    filled = sorted((structure for structure in missing if present[structure.id]), key=lambda structure: structure.id)
    if not filled:
        return Filled(stored, revision.digest)
    target = folder / f"{revision.id}.nii.gz"
    chosen = np.isin(free, [structure.id for structure in filled])
    write_nifti(target, np.where(chosen, free, mask), geometry)
    return Filled(target, None, tuple(structure.name for structure in filled))


def read_mask(path: Path) -> tuple[NDArray[np.uint8], Geometry]:
    """A label map that we stored, (X, Y, Z) uint8, and its grid."""
    file = nibabel.load(path)
    return np.asarray(file.dataobj, dtype=np.uint8), Geometry(file.shape, file.affine)


def _draft_of(session: Session, revision: Revision) -> Presegmentation | None:
    if revision.presegmentation_id:
        return drafts.get(session, revision.presegmentation_id)
    return drafts.newest(session, revision.acquisition_id)
