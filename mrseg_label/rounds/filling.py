"""Fill the structures that a reader did not annotate from a pre-segmentation of the same case.

Training, and a reader who continues an earlier annotation, need complete masks. The stored annotation itself is
never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.draft_details import version_of as version_of_structure
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.tables import Annotation, Presegmentation
from mrseg_label.imaging import write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import Workspace

# In the record of a round's labels: by acquisition, the model version that each structure which nobody annotated was filled from.
FILLED_KEY = "filled"


@dataclass(frozen=True)
class FilledMask:
    """An annotation's mask on disk, filled where its reader left structures unannotated.

    Attributes
    ----------
    path : the stored file if nothing was filled, otherwise a new file in the folder that was given.
    digest : SHA-256 of the stored file; None for a new file.
    filled : by structure, in the order of the label ids, the model version that its voxels come from.
    not_found : names of the structures that were not annotated and of which no voxel could be filled. A draft without
        a structure is no evidence that it is absent, so they may be in the background.
    """

    path: Path
    digest: str | None
    filled: Mapping[str, str] = field(default_factory=dict)
    not_found: tuple[str, ...] = ()

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures that were filled, in the order of the label ids."""
        return tuple(self.filled)

    @property
    def filled_from(self) -> str:
        """The model version that the filled voxels come from; of several, one for each structure, in their order."""
        versions = list(self.filled.values())
        return ",".join(versions if len(set(versions)) > 1 else versions[:1])


def fill_not_annotated(
    workspace: Workspace,
    session: Session,
    annotation: Annotation,
    folder: Path,
    drafts: Mapping[str, Presegmentation] | None = None,
) -> FilledMask:
    """Fill the structures of an annotation that its reader did not annotate.

    Voxels that the reader annotated are never overwritten. Where two drafts claim a voxel, the newer one gets it.

    Parameters
    ----------
    folder : where a filled mask is written.
    drafts : the pre-segmentation that each structure is filled from; by default all are filled from
        :func:`presegmentation_to_fill_from`, as a reader who continues the annotation expects.

    Raises
    ------
    GeometryError
        A pre-segmentation is not on the annotation's grid.
    """
    scheme = workspace.scheme
    missing = not_annotated(annotation, scheme)
    stored = workspace.path(annotation.path)
    if not missing:
        return FilledMask(stored, annotation.digest)
    if drafts is None:
        draft = presegmentation_to_fill_from(session, annotation)
        drafts = {} if draft is None else dict.fromkeys(missing, draft)
    rows = {draft.id: draft for name, draft in drafts.items() if name in missing}
    whole = [draft for draft in rows.values() if is_whole(workspace, draft)]
    if not whole:
        return FilledMask(stored, annotation.digest, not_found=missing)
    mask, geometry = read_label_map(stored)
    version_of: dict[str, str] = {}
    for draft in sorted(whole, key=lambda row: (row.created_at, row.id), reverse=True):
        presegmented, presegmented_geometry = read_label_map(workspace.path(draft.path))
        geometry.require(presegmented_geometry, f"annotation {annotation.id} and pre-segmentation {draft.id}")
        wanted = [name for name in missing if name in drafts and drafts[name].id == draft.id]
        chosen = np.isin(presegmented, [scheme[name].id for name in wanted]) & (mask == 0)
        present = set(np.unique(presegmented[chosen]).tolist())
        version_of |= {name: version_of_structure(draft, name) for name in wanted if scheme[name].id in present}
        mask = np.where(chosen, presegmented, mask)
    filled = {name: version_of[name] for name in missing if name in version_of}
    not_found = tuple(name for name in missing if name not in filled)
    if not filled:
        return FilledMask(stored, annotation.digest, not_found=not_found)
    target = folder / f"{annotation.id}.nii.gz"
    write_nifti(target, mask, geometry)
    return FilledMask(target, None, filled, not_found)


def presegmentation_to_fill_from(session: Session, annotation: Annotation) -> Presegmentation | None:
    """Find the pre-segmentation that was corrected; if there was none at the time, the newest one since."""
    if annotation.presegmentation_id:
        return presegmentations.get(session, annotation.presegmentation_id)
    return presegmentations.best(session, annotation.acquisition_id)


def not_annotated(annotation: Annotation, scheme: LabelScheme) -> tuple[str, ...]:
    """List the structures that were not annotated, neither as present nor as absent, in the order of the label ids."""
    missing = {item.structure for item in annotation.structures if not item.state.judged}
    return tuple(name for name in scheme.names if name in missing)
