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

from mrseg_label.catalog.queries import drafts, models, rounds
from mrseg_label.catalog.tables import BOOTSTRAP, Presegmentation, Revision
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.workspace import Workspace

LABELS = "labels"  # in Round.result: what the label maps of its training are made of
LEARNED = "structures"  # in there: those of which the training saw a voxel


@dataclass(frozen=True)
class Filled:
    """A mask on disk.

    Attributes
    ----------
    path : the stored file where nothing was filled, else one in the caller's folder.
    digest : SHA-256 of the stored file; None for a file of the caller's.
    structures : names of those that were filled, in the order of the ids.
    draft : whose voxels they are, and which says of the others that were not judged that they are absent.
    unknown : names of those that neither the reader nor a model says anything of: there is no draft, or its
        model does not know them. They may lie anywhere in the background.
    """

    path: Path
    digest: str | None
    structures: tuple[str, ...] = ()
    draft: Presegmentation | None = None
    unknown: tuple[str, ...] = ()


def fill(
    workspace: Workspace,
    session: Session,
    revision: Revision,
    folder: Path,
    draft: Presegmentation | None = None,
) -> Filled:
    """The revision's mask, with what its reader did not vouch for filled from a draft.

    What the reader drew always stays on top.

    Parameters
    ----------
    draft : by default that of :func:`draft_of`.

    Raises
    ------
    GeometryError
        The draft does not lie on the revision's grid.
    """
    scheme = workspace.scheme
    missing = not_judged(revision, scheme)
    stored = workspace.path(revision.path)
    if not missing:
        return Filled(stored, revision.digest)
    draft = draft or draft_of(session, revision)
    if draft is None:
        return Filled(stored, revision.digest, unknown=missing)
    mask, geometry = read_mask(stored)
    proposal, draft_geometry = read_mask(workspace.path(draft.path))
    geometry.require(draft_geometry, f"revision {revision.id} and its draft {draft.id}")
    free = np.where(mask == 0, proposal, 0)
    present = np.bincount(free.ravel(order="K"), minlength=len(scheme) + 1) > 0
    filled = tuple(name for name in missing if present[scheme[name].id])
    known = structures_known(scheme, session, draft.model_version).union(filled)
    unknown = tuple(name for name in missing if name not in known)
    if not filled:
        return Filled(stored, revision.digest, draft=draft, unknown=unknown)
    target = folder / f"{revision.id}.nii.gz"
    chosen = np.isin(free, [scheme[name].id for name in filled])
    write_nifti(target, np.where(chosen, free, mask), geometry)
    return Filled(target, None, filled, draft, unknown)


def draft_of(session: Session, revision: Revision) -> Presegmentation | None:
    """The draft that was corrected; where the case had none then, the newest one since."""
    if revision.presegmentation_id:
        return drafts.get(session, revision.presegmentation_id)
    return drafts.newest(session, revision.acquisition_id)


def not_judged(revision: Revision, scheme: LabelScheme) -> tuple[str, ...]:
    """Names of the structures that a revision's reader does not vouch for, in the order of the ids."""
    unjudged = {item.structure for item in revision.structures if not item.state.judged}
    return tuple(name for name in scheme.names if name in unjudged)


def structures_known(scheme: LabelScheme, session: Session, version: str) -> frozenset[str]:
    """The structures that a model can draw, so that it says "absent" where it does not.

    Of TotalSegmentator those that the scheme has a class of it for, of a round's model those that its training
    showed it; of a model that was imported all.
    """
    if version == BOOTSTRAP:
        return frozenset(scheme.ids_in(TOTALSEGMENTATOR_TOTAL))
    model = models.get(session, version)
    made_by = None if model is None or model.round_number is None else rounds.get(session, model.round_number)
    learned = made_by.result.get(LABELS, {}).get(LEARNED) if made_by is not None else None
    return frozenset(scheme.names if learned is None else learned)


def read_mask(path: Path) -> tuple[NDArray[np.uint8], Geometry]:
    """A label map that we stored, (X, Y, Z) uint8, and its grid."""
    file = nibabel.load(path)
    return np.asarray(file.dataobj, dtype=np.uint8), Geometry(file.shape, file.affine)
