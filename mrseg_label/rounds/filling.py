"""A mask completed: what its reader did not judge is taken from the model's draft.

Training data and what a reader begins with again want whole masks. The mask that counts is never filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models, presegmentations, rounds
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, Presegmentation
from mrseg_label.imaging import write_nifti
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.segments.label_maps import read_label_map
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
    presegmentation: Presegmentation | None = None
    unknown: tuple[str, ...] = ()


def fill(
    workspace: Workspace,
    session: Session,
    annotation: Annotation,
    folder: Path,
    presegmentation: Presegmentation | None = None,
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
    missing = not_judged(annotation, scheme)
    stored = workspace.path(annotation.path)
    if not missing:
        return Filled(stored, annotation.digest)
    presegmentation = presegmentation or presegmentation_of(session, annotation)
    if presegmentation is None:
        return Filled(stored, annotation.digest, unknown=missing)
    mask, geometry = read_label_map(stored)
    proposal, draft_geometry = read_label_map(workspace.path(presegmentation.path))
    geometry.require(draft_geometry, f"revision {annotation.id} and its draft {presegmentation.id}")
    free = np.where(mask == 0, proposal, 0)
    present = np.bincount(free.ravel(order="K"), minlength=len(scheme) + 1) > 0
    filled = tuple(name for name in missing if present[scheme[name].id])
    known = structures_known(scheme, session, presegmentation.model_version).union(filled)
    unknown = tuple(name for name in missing if name not in known)
    if not filled:
        return Filled(stored, annotation.digest, presegmentation=presegmentation, unknown=unknown)
    target = folder / f"{annotation.id}.nii.gz"
    chosen = np.isin(free, [scheme[name].id for name in filled])
    write_nifti(target, np.where(chosen, free, mask), geometry)
    return Filled(target, None, filled, presegmentation, unknown)


def presegmentation_of(session: Session, annotation: Annotation) -> Presegmentation | None:
    """The draft that was corrected; where the case had none then, the newest one since."""
    if annotation.presegmentation_id:
        return presegmentations.get(session, annotation.presegmentation_id)
    return presegmentations.best(session, annotation.acquisition_id)


def not_judged(annotation: Annotation, scheme: LabelScheme) -> tuple[str, ...]:
    """Names of the structures that a revision's reader does not vouch for, in the order of the ids."""
    unjudged = {item.structure for item in annotation.structures if not item.state.judged}
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
