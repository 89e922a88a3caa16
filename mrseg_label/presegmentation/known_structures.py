"""Which structures a model version can segment."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models, rounds
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL
from mrseg_label.nnunet.conventions import stated_conventions
from mrseg_label.workspace import Workspace

# Keys of Round.result: how the label maps of a round were made, and in there the structures it was trained on.
LABELS_KEY = "labels"
TRAINED_STRUCTURES_KEY = "structures"


def structures_known(workspace: Workspace, session: Session, version: str) -> frozenset[str]:
    """List the structures that a model can segment.

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
