"""The label maps that a network learns from: what readers judged, filled where they did not.

A structure that a reader removed from the list is not absent. It is filled from the draft of a model that knows
it. Where there is none, and other cases of the data set show the structure, it may lie hidden in the background
of this one, and the background is not taught at all (nnU-Net's label ``ignore``). A structure that no case shows
cannot be learned; for that no background is given up.
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
from mrseg_label.errors import InvalidInput
from mrseg_label.rounds.filling import LEARNED, Filled, fill
from mrseg_label.workspace import Workspace


@dataclass(frozen=True)
class LabelMap:
    """The label map of one acquisition.

    Attributes
    ----------
    hidden : names of structures that other cases show and that may lie in this one's background.
    shows : whether it has a voxel of any structure.
    """

    annotation: Annotation
    mask: Filled
    hidden: tuple[str, ...]
    shows: bool

    @property
    def model_version(self) -> str:
        """Whose draft something was filled from; empty where nothing was."""
        return (
            self.mask.presegmentation.model_version
            if self.mask.presegmentation is not None and self.mask.structures
            else ""
        )

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn from it: a structure, or what is background."""
        return self.shows or not self.hidden


@dataclass(frozen=True)
class LabelMaps:
    """The label maps of a data set.

    Attributes
    ----------
    maps : in the order of the revisions.
    shown : names of the structures that any of them shows, in the order of the ids.
    """

    maps: tuple[LabelMap, ...]
    shown: tuple[str, ...]

    def require_background(self) -> None:
        """Raise :class:`InvalidInput` where no case says what is background."""
        teaching = [label for label in self.maps if label.teaches]
        if teaching and all(label.hidden for label in teaching):
            missing = sorted({name for label in teaching for name in label.hidden})
            raise InvalidInput(
                "in no case is it known what is background: each leaves a structure unjudged that another case shows "
                f"({', '.join(missing[:12])}), and no draft by a model that knows it is there. See that the "
                "weights for drafts are installed (mrseg-label doctor), or submit one case with all of them in the list of "
                "segments (empty where absent), and start a new round"
            )

    def record(self) -> dict[str, Any]:
        """What the round keeps of it, as JSON: what was learned, filled, ignored and left out."""
        filled = Counter(label.model_version for label in self.maps if label.model_version)
        ignored = {label.annotation.acquisition_id: list(label.hidden) for label in self.maps if label.hidden}
        left_out = [label.annotation.acquisition_id for label in self.maps if not label.teaches]
        record: dict[str, Any] = {LEARNED: list(self.shown), "cases_filled_from": dict(sorted(filled.items()))}
        if ignored:
            record["background_ignored"] = ignored
        if left_out:
            record["left_out"] = dict.fromkeys(left_out, "no structure is drawn, and the background is not known")
        return record


def complete(
    workspace: Workspace,
    session: Session,
    annotations: Sequence[Annotation],
    folder: Path,
    *,
    fill_from: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LabelMaps:
    """Label maps of these revisions.

    Parameters
    ----------
    folder : for those in which something is filled.
    fill_from : ids of the drafts to fill from, by revision; by default that of
        :func:`mrseg_label.rounds.filling.draft_of`.
    """
    scheme = workspace.scheme
    masks = []
    shown: set[str] = set()
    for done, annotation in enumerate(annotations):
        progress(done, len(annotations))
        presegmentation_id = (fill_from or {}).get(annotation.id)
        mask = fill(
            workspace,
            session,
            annotation,
            folder,
            presegmentations.get(session, presegmentation_id) if presegmentation_id else None,
        )
        here = {item.structure for item in annotation.structures if item.voxels}.union(mask.structures)
        shown |= here
        masks.append((annotation, mask, bool(here)))
    maps = tuple(
        LabelMap(annotation, mask, tuple(name for name in mask.unknown if name in shown), shows)
        for annotation, mask, shows in masks
    )
    return LabelMaps(maps, tuple(name for name in scheme.names if name in shown))
