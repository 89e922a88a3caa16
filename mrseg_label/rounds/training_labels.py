"""The label maps that a network is trained on: annotations, filled where structures were not annotated.

A structure that was not annotated is not absent. It is filled from a pre-segmentation by a model that knows it.
Without one, and if the structure occurs in other cases of the data set, it may be hidden in the background of this
case; the whole background is then excluded from training (nnU-Net's label ``ignore``). A structure that occurs in
no case cannot be learned, so no background is excluded on its account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.tables import Annotation
from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.rounds.filling import FILLED_KEY, TRAINED_STRUCTURES_KEY, FilledMask, fill_not_annotated
from mrseg_label.workspace import Workspace

_NAMED_AT_MOST = 12
UNUSABLE = "no structure is annotated, and the background is unknown"


@dataclass(frozen=True)
class TrainingLabelMap:
    """The label map of one acquisition.

    Attributes
    ----------
    hidden : names of structures that occur in other cases and may be hidden in this one's background.
    has_structures : whether any voxel belongs to a structure.
    """

    annotation: Annotation
    mask: FilledMask
    hidden: tuple[str, ...]
    has_structures: bool

    @property
    def background_known(self) -> bool:
        """Whether the background is free of structures that other cases contain."""
        return not self.hidden

    @property
    def usable(self) -> bool:
        """Whether a network can learn anything from it: a structure, or what background looks like."""
        return self.has_structures or self.background_known


@dataclass(frozen=True)
class TrainingLabels:
    """The label maps of a data set.

    Attributes
    ----------
    maps : one for each annotation, in their order, without those that were left out.
    structures : names of the structures that occur in any of them, in the order of the label ids.
    """

    maps: tuple[TrainingLabelMap, ...]
    structures: tuple[str, ...]

    def require_background(self) -> None:
        """Raise :class:`InvalidInput` if the background is unknown in every usable case."""
        usable = [label_map for label_map in self.maps if label_map.usable]
        if usable and not any(label_map.background_known for label_map in usable):
            missing = sorted({name for label_map in usable for name in label_map.hidden})
            raise InvalidInput(
                "no case shows what background looks like: in every case a structure is not annotated that another case "
                f"contains ({', '.join(missing[:_NAMED_AT_MOST])}), and there is no draft of it. Check that the weights "
                "for drafts are installed (mrseg-label doctor), or submit one case that lists all of these structures "
                "(empty where absent), then start a new round"
            )

    def record(self) -> dict[str, Any]:
        """Describe how the label maps were made, as JSON for the round: trained, filled, ignored and left out."""
        filled = Counter(label_map.mask.filled_from for label_map in self.maps if label_map.mask.filled_from)
        ignored = {one.annotation.acquisition_id: list(one.hidden) for one in self.maps if one.hidden}
        left_out = [label_map.annotation.acquisition_id for label_map in self.maps if not label_map.usable]
        record: dict[str, Any] = {
            TRAINED_STRUCTURES_KEY: list(self.structures),
            "cases_filled_from": dict(sorted(filled.items())),
        }
        if filled_in := {
            one.annotation.acquisition_id: dict.fromkeys(one.mask.structures, one.mask.filled_from)
            for one in self.maps
            if one.mask.structures
        }:
            record[FILLED_KEY] = filled_in
        if ignored:
            record["background_ignored"] = ignored
        if left_out:
            record["left_out"] = dict.fromkeys(left_out, UNUSABLE)
        return record


def make_training_labels(
    workspace: Workspace,
    session: Session,
    annotations: Sequence[Annotation],
    folder: Path,
    *,
    fill_from: Mapping[str, str] | None = None,
    left_out: dict[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingLabels:
    """Make the label maps of a data set from annotations.

    Parameters
    ----------
    folder : where the label maps that had to be filled are written.
    fill_from : pre-segmentation id by annotation id; by default
        :func:`mrseg_label.rounds.filling.presegmentation_to_fill_from`.
    left_out : if given, annotations whose mask cannot be read are left out, and their reasons added here by id.
    progress : called with the number of annotations done and their total.
    """
    masks = []
    found: set[str] = set()
    for done, annotation in enumerate(annotations):
        progress(done, len(annotations))
        presegmentation_id = (fill_from or {}).get(annotation.id)
        presegmentation = presegmentations.get(session, presegmentation_id) if presegmentation_id else None
        try:
            mask = fill_not_annotated(workspace, session, annotation, folder, presegmentation)
        except (InvalidInput, StoredFileError) as error:
            if left_out is None:
                raise
            left_out[annotation.id] = str(error)
            continue
        present = {item.structure for item in annotation.structures if item.voxels}.union(mask.structures)
        found |= present
        masks.append((annotation, mask, bool(present)))
    maps = tuple(
        TrainingLabelMap(annotation, mask, tuple(name for name in mask.unknown if name in found), has_structures)
        for annotation, mask, has_structures in masks
    )
    return TrainingLabels(maps, tuple(name for name in workspace.scheme.names if name in found))
