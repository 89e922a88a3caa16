"""Read what makes the drafts now."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.errors import ConfigurationError, MrsegError
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.presegmentation.candidates import Candidate, candidates_of
from mrseg_label.presegmentation.installed import WeightsState, installed
from mrseg_label.presegmentation.networks import NETWORKS
from mrseg_label.presegmentation.sources import Source, sources_in_use
from mrseg_label.registry.lineage import licences_of
from mrseg_label.reports.documents.sources import SourceOut
from mrseg_label.workspace import Workspace

OTHERS = "*"


@dataclass
class _Use:
    """For which sequence types a source makes drafts, and for which it gives structures to those of another."""

    candidate: Candidate
    drafts: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)


def read_sources(workspace: OpenedWorkspace) -> list[SourceOut]:
    """List the sources of drafts that are in use: those that make them, then those that may give structures to them.

    Raises
    ------
    ConfigurationError
        BOOTSTRAP_SOURCES is malformed.
    """
    if workspace.settings.presegmentation == "off":
        return []
    with workspace.catalog.read() as session:
        uses: dict[str, _Use] = {}
        sequences = list(dict.fromkeys(name for name, _ in sources_in_use(workspace.settings.bootstrap_sources)))
        for sequence in sequences:
            own, *others = candidates_of(workspace, session, models.current(session), sequence)
            uses.setdefault(own.name, _Use(own)).drafts.append(sequence or OTHERS)
            for other in others:
                uses.setdefault(other.name, _Use(other)).mixed.append(sequence or OTHERS)
        found = [
            _describe(workspace, session, use.candidate, [OTHERS] if len(named) == len(sequences) else named, mixed)
            for use in uses.values()
            for mixed, named in ((False, use.drafts), (True, use.mixed))
            if named
        ]
    return sorted(found, key=lambda one: one.mixed)


def read_sources_if_configured(workspace: OpenedWorkspace) -> list[SourceOut]:
    """List them as :func:`read_sources`; none where BOOTSTRAP_SOURCES is malformed, of which ``doctor`` tells."""
    try:
        return read_sources(workspace)
    except ConfigurationError:
        return []


def _describe(
    workspace: Workspace, session: Session, candidate: Candidate, sequences: list[str], mixed: bool
) -> SourceOut:
    source = candidate.source or Source.of_version(candidate.model.version)
    network = NETWORKS.get(source.network)
    orientation: str | None
    if network is not None:
        title, orientation, licences = network.title, network.orientation, [network.licence]
        weights = installed(network, workspace.settings).state
    else:
        # A version that BOOTSTRAP_SOURCES names may be missing.
        version = models.get(session, source.version or "")
        title = (
            "missing" if version is None else f"round {version.round_number}" if version.round_number else "imported"
        )
        licences = [] if version is None else licences_of(session, version)
        orientation, weights = _of_files(workspace, version)
    return SourceOut(
        name=candidate.name,
        source=str(source),
        title=title,
        sequences=sequences,
        mixed=mixed,
        orientation=orientation,
        licences=licences,
        weights=weights,
    )


def _of_files(workspace: Workspace, version: ModelVersion | None) -> tuple[str | None, WeightsState]:
    if version is None or version.path is None or not workspace.path(version.path).is_dir():
        return None, WeightsState.MISSING
    try:
        return ModelConventions.read(workspace.path(version.path)).orientation, WeightsState.FOUND
    except MrsegError:
        return None, WeightsState.FOUND
