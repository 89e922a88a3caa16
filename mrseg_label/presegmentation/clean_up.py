"""The step of drafting that cleans up: which steps are done, what was changed, and what is still doubted."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Examination
from mrseg_label.config import Settings
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.imaging.audit import audit
from mrseg_label.imaging.changes import Step
from mrseg_label.imaging.clean_up import clean_up
from mrseg_label.presegmentation.mixture import DraftMask
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.presegmentation")


def steps_of(settings: Settings) -> tuple[Step, ...]:
    """The steps of the clean-up that the settings ask for."""
    return tuple(step for step in Step if getattr(settings, f"clean_up_{step}"))


def impossible_structures(session: Session, acquisition_id: str) -> set[str]:
    """Names of the structures that cannot lie in the station of an acquisition, as readers' annotations show."""
    acquisition = acquisitions.get(session, acquisition_id)
    return annotation_rows.impossible_structures(session, acquisition.station) if acquisition is not None else set()


def clean_up_draft(
    draft: DraftMask, workspace: Workspace, examination: Examination, impossible: Collection[str]
) -> DraftMask:
    """Clean up the mask of a draft, and store with it what was changed and what is doubted.

    Parameters
    ----------
    examination : the image that the draft was made of.
    impossible : names of the structures that cannot lie in its station.
    """
    steps, scheme = steps_of(workspace.settings), workspace.scheme
    geometry, anatomy = Geometry.from_json(examination.geometry), anatomy_of(scheme)
    image: NDArray[Any] | None = load_image(workspace.path(examination.path))[0] if steps else None
    labels = {scheme[name].id for name in impossible if name in scheme}
    cleaned = clean_up(draft.label_map, geometry, anatomy, image, steps, labels)
    details = draft.details.copy()
    if steps:
        details["clean_up"] = cleaned.record()
    doubts = audit(cleaned.label_map, geometry, anatomy, cleaned.midline)
    if doubts:
        details["doubts"] = [doubt.to_json() for doubt in doubts]
        log.info("the draft of %s is doubtful: %s", examination.id, "; ".join(doubt.text for doubt in doubts))
    return replace(draft, label_map=cleaned.label_map, details=details)
