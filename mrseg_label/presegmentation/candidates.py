"""The sources that a draft may be mixed from, and the choice among them.

The setting MIXTURE says which sources may be used beside the version that makes the drafts: ``bootstrap``, ``previous`` (the
version that made them before), and versions by name. Only those that are chosen for a structure are run, so that a draft costs no more time than
it gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog.draft_details import source_name, source_of
from mrseg_label.catalog.queries import models, source_scores
from mrseg_label.catalog.tables import BOOTSTRAP, Examination, ModelVersion
from mrseg_label.presegmentation import sources
from mrseg_label.presegmentation.evidence import Chosen, MeasuredCase, Work, choose, estimate_advantage
from mrseg_label.presegmentation.known_structures import structures_known, structures_of_source
from mrseg_label.presegmentation.sources import Source
from mrseg_label.workspace import Workspace

PREVIOUS = "previous"
CASES_COMPARED = 200  # annotated cases that the choice rests on at most, the newest


@dataclass(frozen=True)
class Candidate:
    """A source that structures of a draft may be taken from.

    Attributes
    ----------
    name : as a mixture names it.
    source : which of the bootstrap's sources it is; None for a version that a training made.
    """

    name: str
    model: ModelVersion
    source: Source | None = None


@dataclass(frozen=True)
class Choice:
    """The sources of a draft.

    Attributes
    ----------
    candidates : the first is the draft's own model version.
    knows : by name, the structures that each can segment.
    chosen : by structure, on the evidence of annotated cases.
    """

    candidates: tuple[Candidate, ...]
    knows: Mapping[str, frozenset[str]]
    chosen: Mapping[str, Chosen]

    @property
    def undecided(self) -> frozenset[str]:
        """The structures for which too few participants were annotated to compare the sources that know them."""
        return frozenset(name for name, one in self.chosen.items() if not one.decided)

    @property
    def needed(self) -> tuple[Candidate, ...]:
        """The draft's own source, and those that were chosen for a structure."""
        used = {one.source for one in self.chosen.values()}
        own, *others = self.candidates
        return (own, *(one for one in others if one.name in used))


def candidates_of(workspace: Workspace, session: Session, model: ModelVersion, sequence: str) -> list[Candidate]:
    """List the sources that a draft of a sequence by a model version may be mixed from, that version first.

    The bootstrap stands for every source that BOOTSTRAP_SOURCES joins for the sequence.
    """
    versions = [model]
    for name in workspace.settings.mixed_sources:
        if name == PREVIOUS:
            # What a version that is not promoted yet would follow is the present one.
            promoted = model.promoted_at is not None
            other = models.previously_promoted(session, model) if promoted else models.current(session)
        else:
            other = models.get(session, name)
        if other is not None and other.problem is None and other.version not in {one.version for one in versions}:
            versions.append(other)
    found: dict[str, Candidate] = {}
    for one in versions:
        for candidate in _sources_of(workspace, session, one, sequence):
            found.setdefault(candidate.name, candidate)
    return list(found.values())


def _sources_of(workspace: Workspace, session: Session, model: ModelVersion, sequence: str) -> Iterator[Candidate]:
    if model.version != BOOTSTRAP:
        yield Candidate(model.version, model)
        return
    own, *joined = sources.choose_sources(sequence, workspace.settings.bootstrap_sources)
    yield Candidate(source_name(BOOTSTRAP, str(own)), model, own)
    for source in joined:
        of_version = models.get(session, source.version) if source.version is not None else None
        if of_version is not None and source.preparation is sources.Preparation.RAW:
            yield Candidate(of_version.version, of_version)
        else:
            yield Candidate(source_name(BOOTSTRAP, str(source)), model, source)


def name_of(workspace: Workspace, version: str, examination: Examination) -> str:
    """Name what a version makes of an examination as a source."""
    if version != BOOTSTRAP:
        return version
    return source_name(version, str(sources.choose_source(examination.sequence, workspace.settings.bootstrap_sources)))


def choose_sources(workspace: Workspace, session: Session, model: ModelVersion, examination: Examination) -> Choice:
    """Choose the source of each structure of a draft by a model version."""
    candidates = tuple(candidates_of(workspace, session, model, examination.sequence))
    if len(candidates) == 1:
        return Choice(candidates, {}, {})
    names = [one.name for one in candidates]
    knows = {
        one.name: _known(workspace, session, one) | source_scores.judged_in_training(session, one.model.version)
        for one in candidates
    }
    cases = measured_cases(session, candidates)
    station = examination.acquisition.station
    advantage = estimate_advantage(cases, workspace.settings.promotion_draft_advantage)
    chosen = choose(cases, names, knows, workspace.scheme.names, examination.sequence, station, advantage)
    return Choice(candidates, knows, chosen)


def _known(workspace: Workspace, session: Session, candidate: Candidate) -> frozenset[str]:
    if candidate.source is None:
        return structures_known(workspace, session, candidate.model.version)
    return structures_of_source(workspace, session, candidate.source)


def measured_cases(session: Session, candidates: Sequence[Candidate]) -> list[MeasuredCase]:
    """Collect what was measured of some sources on annotated cases."""
    names = [one.name for one in candidates]
    # A bootstrap source may be a version of this workspace on a prepared image.
    versions = {one.name: (one.source and one.source.version) or one.model.version for one in candidates}
    seen = source_scores.trained_on(session, set(versions.values()))
    cases = []
    for scored in source_scores.scored(session, names, CASES_COMPARED):
        participant = scored.acquisition.participant_id
        work = {
            score.source: {name: Work(*volumes) for name, volumes in score.structures.items()}
            for score in scored.scores
        }
        structures = {name for found in work.values() for name in found}
        draft = scored.presegmentation
        cases.append(
            MeasuredCase(
                participant=participant,
                sequence=scored.acquisition.sequence,
                station=scored.acquisition.station,
                drafted_by={} if draft is None else {name: source_of(draft, name) for name in structures},
                work=work,
                seen_by=frozenset(name for name, version in versions.items() if participant in seen[version]),
            )
        )
    return cases
