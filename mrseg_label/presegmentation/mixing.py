"""Segment an image by every source that its draft needs, and mix what they made."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.tables import BOOTSTRAP, Examination, ModelVersion
from mrseg_label.errors import ConfigurationError, DamagedModel, Unavailable
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.presegmentation.agreement import choose_by_agreement, measure
from mrseg_label.presegmentation.candidates import Choice, choose_sources
from mrseg_label.presegmentation.evidence import Chosen
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.mixture import DraftMask, Segmented, mix

log = logging.getLogger("mrseg_label.presegmentation")
_OF_THE_MODEL = (Unavailable, ConfigurationError, DamagedModel)
_EARLIER_CASES = 60  # whose drafts say what is usual at a station


def segment_and_mix(
    workspace: OpenedWorkspace, loaded_models: LoadedModels, model: ModelVersion, examination: Examination
) -> tuple[list[Segmented], DraftMask]:
    """Segment the image of an examination by every source of its draft, and mix what they made.

    While no round's model makes the drafts, and for the structures of which too few participants are annotated, all sources segment
    the image and their agreement decides (:mod:`mrseg_label.presegmentation.agreement`).

    Returns
    -------
    What each source made, the draft's own version first, and the mixture.
    """
    with workspace.catalog.read() as session:
        choice = choose_sources(workspace, session, model, examination)
    undecided = choice.undecided if model.version == BOOTSTRAP else frozenset()
    segmented = _segment(loaded_models, choice, examination, every=bool(undecided))
    able = {one.name for one in segmented}
    chosen = {name: one for name, one in choice.chosen.items() if one.source in able}
    measures: Mapping[str, Any] | None = None
    if undecided and len(segmented) > 1:
        agreed, measures = _by_agreement(workspace, choice, segmented, examination)
        chosen |= {name: one for name, one in agreed.items() if name in undecided}
    return segmented, mix(segmented, chosen, workspace.scheme, measures)


def _segment(loaded_models: LoadedModels, choice: Choice, examination: Examination, *, every: bool) -> list[Segmented]:
    """Segment an image by each source. One that cannot run is passed over, unless it is the draft's own."""
    segmented: list[Segmented] = []
    for one in choice.candidates if every else choice.needed:
        try:
            found, source = loaded_models.draft(one.model, examination, one.source)
        except _OF_THE_MODEL as error:
            if not segmented:
                raise
            log.warning("%s is not mixed into the draft of %s: %s", one.name, examination.id, error)
            continue
        segmented.append(Segmented(found.label_map, source, one.model.version, one.name, found.softmax))
    return segmented


def _by_agreement(
    workspace: OpenedWorkspace, choice: Choice, segmented: Sequence[Segmented], examination: Examination
) -> tuple[Mapping[str, Chosen], Mapping[str, Any]]:
    with workspace.catalog.read() as session:
        earlier = presegmentations.details_at(session, examination.acquisition.station, _EARLIER_CASES)
    measured = [(sequence, details.get("mixture", {}).get("measures", {})) for sequence, details in earlier]
    geometry = Geometry.from_json(examination.geometry)
    label_maps = {one.name: one.label_map for one in segmented}
    present = measure(label_maps, choice.knows, geometry, workspace.scheme, [found for _, found in measured])
    alike = [found for sequence, found in measured if sequence == examination.sequence]
    names = [one.name for one in segmented]
    return choose_by_agreement(names, choice.knows, present, alike), present
