"""Where the first weights of a round's network come from, and under which licences they may be used."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import BOOTSTRAP, Round
from mrseg_label.errors import MrsegError
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL
from mrseg_label.licences import TOTALSEGMENTATOR_WEIGHTS, Terms, terms_of
from mrseg_label.nnunet.conventions import stated_heads
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.registry.lineage import licences_of

log = logging.getLogger("mrseg_label.rounds")
RANDOM, TOTALSEGMENTATOR = "random", "TotalSegmentator"


@dataclass(frozen=True)
class FirstWeights:
    """The weights that a training starts from.

    Attributes
    ----------
    source : a model version, ``TotalSegmentator``, or ``random``.
    folder : of that model; None for random weights.
    heads : classes of that model for each of our label ids; None for those of the same name.
    licences : of the weights, and of what they were trained from in turn.
    warning : what an admin should know of this choice.
    """

    source: str = RANDOM
    folder: Path | None = None
    heads: Mapping[int, tuple[int, ...]] | None = None
    licences: tuple[str, ...] = ()
    warning: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is kept with the round and its model version."""
        record: dict[str, Any] = {"source": self.source, "licences": list(self.licences)}
        return record if self.warning is None else record | {"warning": self.warning}


def choose_first_weights(workspace: OpenedWorkspace, row: Round) -> FirstWeights:
    """Choose what the network of a round starts from: the version that it names as parent, if that may be used.

    Weights under a licence that forbids derived works are not used. Where nobody stated a licence, they are, with a
    warning: whether they may be is for the group that imported them to know.
    """
    parent = row.parent or BOOTSTRAP
    if parent == BOOTSTRAP:
        return _of_totalsegmentator(workspace, row)
    with workspace.catalog.read() as session:
        model = models.get(session, parent)
        licences = tuple(licences_of(session, model)) if model is not None else ()
    if model is None or not model.path:
        return FirstWeights()
    forbidding = next((licence for licence in licences if terms_of(licence) is Terms.FORBIDDEN), None)
    if forbidding is not None:
        return FirstWeights(
            warning=f"the training started from random weights, because the licence of {parent} ({forbidding}) allows no "
            "derived works; if that is not so, correct it with: mrseg-label models licence"
        )
    imported_without = model.round_number is None and model.licence is None
    folder = workspace.path(model.path)
    return FirstWeights(
        parent,
        folder,
        stated_heads(folder, workspace.scheme),
        licences,
        f"nobody stated the licence of {parent}, from which the training started; state it with: mrseg-label models licence"
        if imported_without
        else None,
    )


def _of_totalsegmentator(workspace: OpenedWorkspace, row: Round) -> FirstWeights:
    try:
        weights = find_weights(workspace.settings.totalseg_weights_path)
    except MrsegError as error:
        log.warning("round %d starts from random weights: %s", row.number, error)
        return FirstWeights(warning=f"the training started from random weights: {error}")
    scheme = workspace.scheme
    class_ids = scheme.ids_in(TOTALSEGMENTATOR_TOTAL)
    heads = {scheme[name].id: ids for name, ids in class_ids.items()}
    return FirstWeights(TOTALSEGMENTATOR, weights.model_folder, heads, (TOTALSEGMENTATOR_WEIGHTS,))
