"""Fill the structures that a reader did not annotate from a pre-segmentation of the same case.

Training, and a reader who continues an earlier annotation, need complete masks. The stored annotation itself is
never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.queries import models, presegmentations, rounds
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, Presegmentation
from mrseg_label.imaging import write_nifti
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.nnunet.conventions import stated_conventions
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import Workspace

# Keys of Round.result: how the label maps of a round were made, and in there the structures it was trained on.
LABELS_KEY = "labels"
TRAINED_STRUCTURES_KEY = "structures"
# In there too: by acquisition, the model version that each structure which nobody annotated was filled from.
FILLED_KEY = "filled"


@dataclass(frozen=True)
class FilledMask:
    """An annotation's mask on disk, filled where its reader left structures unannotated.

    Attributes
    ----------
    path : the stored file if nothing was filled, otherwise a new file in the folder that was given.
    digest : SHA-256 of the stored file; None for a new file.
    structures : names of the structures that were filled, in the order of the label ids.
    presegmentation : where the filled voxels come from. Structures that were not annotated and that its model
        knows, but did not segment, count as absent.
    unknown : names of the structures that were neither annotated nor known to the model (or there is no
        pre-segmentation). They may be anywhere in the background.
    """

    path: Path
    digest: str | None
    structures: tuple[str, ...] = ()
    presegmentation: Presegmentation | None = None
    unknown: tuple[str, ...] = ()

    @property
    def filled_from(self) -> str:
        """The model version that the filled voxels come from; empty if nothing was filled."""
        return self.presegmentation.model_version if self.presegmentation is not None and self.structures else ""


def fill_not_annotated(
    workspace: Workspace,
    session: Session,
    annotation: Annotation,
    folder: Path,
    presegmentation: Presegmentation | None = None,
) -> FilledMask:
    """Fill the structures of an annotation that its reader did not annotate.

    Voxels that the reader annotated are never overwritten.

    Parameters
    ----------
    folder : where a filled mask is written.
    presegmentation : what to fill from; by default :func:`presegmentation_to_fill_from`.

    Raises
    ------
    GeometryError
        The pre-segmentation is not on the annotation's grid.
    """
    scheme = workspace.scheme
    missing = not_annotated(annotation, scheme)
    stored = workspace.path(annotation.path)
    if not missing:
        return FilledMask(stored, annotation.digest)
    presegmentation = presegmentation or presegmentation_to_fill_from(session, annotation)
    if presegmentation is None or not is_whole(workspace, presegmentation):
        return FilledMask(stored, annotation.digest, unknown=missing)
    mask, geometry = read_label_map(stored)
    presegmented, presegmented_geometry = read_label_map(workspace.path(presegmentation.path))
    geometry.require(presegmented_geometry, f"annotation {annotation.id} and pre-segmentation {presegmentation.id}")
    free = np.where(mask == 0, presegmented, 0)
    present = np.bincount(free.ravel(order="K"), minlength=len(scheme) + 1) > 0
    filled = tuple(name for name in missing if present[scheme[name].id])
    known = structures_known(workspace, session, presegmentation.model_version).union(filled)
    unknown = tuple(name for name in missing if name not in known)
    if not filled:
        return FilledMask(stored, annotation.digest, presegmentation=presegmentation, unknown=unknown)
    target = folder / f"{annotation.id}.nii.gz"
    chosen = np.isin(free, [scheme[name].id for name in filled])
    write_nifti(target, np.where(chosen, free, mask), geometry)
    return FilledMask(target, None, filled, presegmentation, unknown)


def presegmentation_to_fill_from(session: Session, annotation: Annotation) -> Presegmentation | None:
    """Find the pre-segmentation that was corrected; if there was none at the time, the newest one since."""
    if annotation.presegmentation_id:
        return presegmentations.get(session, annotation.presegmentation_id)
    return presegmentations.best(session, annotation.acquisition_id)


def not_annotated(annotation: Annotation, scheme: LabelScheme) -> tuple[str, ...]:
    """List the structures that were not annotated, neither as present nor as absent, in the order of the label ids."""
    missing = {item.structure for item in annotation.structures if not item.state.judged}
    return tuple(name for name in scheme.names if name in missing)


def structures_known(workspace: Workspace, session: Session, version: str) -> frozenset[str]:
    """List the structures that a model can segment, so that leaving one out means that it is absent.

    TotalSegmentator knows those for which the scheme names one of its classes, a round's model those that its
    training data contained, and an imported model those that its labels mean.
    """
    scheme = workspace.scheme
    if version == BOOTSTRAP:
        return frozenset(scheme.ids_in(TOTALSEGMENTATOR_TOTAL))
    model = models.get(session, version)
    training_round = None if model is None or model.round_number is None else rounds.get(session, model.round_number)
    if training_round is not None:
        return frozenset(training_round.result.get(LABELS_KEY, {}).get(TRAINED_STRUCTURES_KEY, scheme.names))
    stated = stated_conventions(workspace.path(model.path)) if model is not None and model.path else {}
    structures = stated.get("structures")
    return frozenset(scheme.names) if structures is None else frozenset(filter(None, structures.values()))
