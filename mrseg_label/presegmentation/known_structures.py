"""Which structures a model version can segment."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models, rounds
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.nnunet.conventions import stated_conventions
from mrseg_label.presegmentation.networks import NETWORKS
from mrseg_label.presegmentation.sources import Source, sources_in_use
from mrseg_label.workspace import Workspace

# Keys of Round.result: how the label maps of a round were made, and in there the structures it was trained on.
LABELS_KEY = "labels"
TRAINED_STRUCTURES_KEY = "structures"


def structures_known(workspace: Workspace, session: Session, version: str) -> frozenset[str]:
    """List the structures that a model can segment.

    The bootstrap knows those that its sources know for each sequence, a round's model those that its training data
    contained, and an imported model those that its labels mean.
    """
    scheme = workspace.scheme
    if version == BOOTSTRAP:
        by_sequence: dict[str, frozenset[str]] = {}
        for sequence, source in sources_in_use(workspace.settings.bootstrap_sources):
            of_source = structures_of_source(workspace, session, source)
            by_sequence[sequence] = by_sequence.get(sequence, frozenset()) | of_source
        return frozenset.intersection(*by_sequence.values())
    model = models.get(session, version)
    training_round = None if model is None or model.round_number is None else rounds.get(session, model.round_number)
    if training_round is not None:
        return frozenset(training_round.result.get(LABELS_KEY, {}).get(TRAINED_STRUCTURES_KEY, scheme.names))
    stated = stated_conventions(workspace.path(model.path)) if model is not None and model.path else {}
    structures = stated.get("structures")
    return frozenset(scheme.names) if structures is None else frozenset(filter(None, structures.values()))


def structures_of_source(workspace: Workspace, session: Session, source: Source) -> frozenset[str]:
    """List the structures that a source can segment: those of its network's label set, or of its model version."""
    if source.version is not None:
        return structures_known(workspace, session, source.version)
    return frozenset(NETWORKS[source.network].structures(workspace.scheme))
