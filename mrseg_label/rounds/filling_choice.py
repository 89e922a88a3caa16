"""Choose the draft that each structure which a reader did not annotate is filled from, anew at every snapshot.

A structure is filled from the newest model that knows it well. Filling from the draft that was corrected, as earlier
versions did, would teach the mistakes of the first model in every later round.

A model knows a structure well if its mean DSC is at least :data:`WELL_DSC` over at least :data:`MIN_CASES` held-out
cases. Without that many held-out cases, the readers' corrections of its drafts count instead. Where no model knows it
well, the best of those that reach :data:`USABLE_DSC` takes its place: what is ignored instead costs the next model more
than such a draft's mistakes. If every model is known to be worse, the structure is not filled. If the structure was annotated in fewer than
:data:`MIN_CASES` cases, there is no evidence against the drafts, and the structure is filled from the draft that was
corrected: otherwise a model would forget every structure that no reader draws.

Where nobody has drawn a structure at the station of a case, although readers were asked for it there or draw it at other
stations (:meth:`mrseg_label.rounds.stations.Stations.is_doubtful`), only a model that knows it well is believed to have found it: a
liver that TotalSegmentator draws in a pelvis, and that the reader removed, is not taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import held_out, models, presegmentations
from mrseg_label.catalog.queries.performance import effort_by_structure
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, ModelVersion, Presegmentation
from mrseg_label.presegmentation.known_structures import structures_known
from mrseg_label.rounds.filling import not_annotated, presegmentation_to_fill_from
from mrseg_label.rounds.stations import Stations
from mrseg_label.workspace import Workspace

# "Good agreement" since Zijdenbos AP et al. IEEE Trans Med Imaging 1994;13:716 (https://doi.org/10.1109/42.363096).
WELL_DSC = 0.7
# docs/benchmarks.md: drafts of muscles of DSC 0.39 taught better muscles than ignoring did, and did not harm the rest.
USABLE_DSC = 0.4
MIN_CASES = 3
_HELD_OUT, _CORRECTIONS = "held_out", "corrections"


@dataclass(frozen=True)
class Score:
    """Mean DSC of a model for a structure, over how many cases, and whether these are held out or corrected drafts."""

    dsc: float
    cases: int
    evidence: str


@dataclass(frozen=True)
class FillingModels:
    """What is known of the models that structures could be filled from.

    Attributes
    ----------
    good : by structure, the versions that it may be filled from, in the order in which they are asked: those that know
        it well, newest first, then those that are usable, best first.
    scores : by version, how good it is at each structure that was judged in enough cases.
    known : by version, the structures that it can segment.
    """

    good: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, Mapping[str, Score]]
    known: Mapping[str, frozenset[str]]

    def knows_well(self, version: str, structure: str) -> bool:
        """Whether there is evidence that a version segments a structure well."""
        score = self.scores.get(version, {}).get(structure)
        return score is not None and score.dsc >= WELL_DSC

    def is_bad(self, structure: str) -> bool:
        """Whether there is evidence that the drafts of a structure are too bad to fill from."""
        return not self.good.get(structure) and any(structure in scores for scores in self.scores.values())

    def record(self, structures: frozenset[str]) -> dict[str, Any]:
        """Describe the evidence on some structures, as JSON: for each of them the score of each version."""
        described: dict[str, Any] = {}
        for version, scores in self.scores.items():
            for name in sorted(structures.intersection(scores)):
                score = scores[name]
                values = {"dsc": round(score.dsc, 4), "cases": score.cases, "evidence": score.evidence}
                described.setdefault(name, {})[version] = values
        return described


@dataclass(frozen=True)
class FillingPlan:
    """What each annotation is filled from.

    Attributes
    ----------
    drafts : by annotation id, the id of the pre-segmentation for each structure that is filled from one.
    """

    drafts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, session: Session, annotation: Annotation) -> dict[str, Presegmentation]:
        """Return the pre-segmentation for each structure of an annotation that is filled from one."""
        rows = {name: presegmentations.get(session, key) for name, key in self.drafts.get(annotation.id, {}).items()}
        return {name: row for name, row in rows.items() if row is not None}


def filling_models(workspace: Workspace, session: Session) -> FillingModels:
    """Find out which models know which structures well.

    Only the current version and those that were current before are asked: a candidate was not found good enough to
    make drafts.
    """
    versions = [
        row for row in models.promoted(session) if row.problem is None and (row.path or row.version == BOOTSTRAP)
    ]
    known = {row.version: structures_known(workspace, session, row.version) for row in versions}
    scores = _scores(session, versions)
    good: dict[str, tuple[str, ...]] = {}
    for name in workspace.scheme.names:
        asked = [row.version for row in versions if name in known[row.version] and name in scores[row.version]]
        dsc = {version: scores[version][name].dsc for version in asked}
        well = [version for version in asked if dsc[version] >= WELL_DSC]
        usable = sorted((one for one in asked if USABLE_DSC <= dsc[one] < WELL_DSC), key=lambda one: -dsc[one])
        if well or usable:
            good[name] = (*well, *usable)
    return FillingModels(good, scores, known)


def choose_drafts(
    workspace: Workspace,
    session: Session,
    annotation: Annotation,
    known: FillingModels,
    stations: Stations | None = None,
) -> dict[str, str]:
    """Choose among the drafts that exist; returns the id of the pre-segmentation for each structure that has one.

    Parameters
    ----------
    stations : what the annotations of the data set say of their stations; by default nothing is known of them.
    """
    chosen: dict[str, str] = {}
    for name in not_annotated(annotation, workspace.scheme):
        doubtful = stations is not None and stations.is_doubtful(annotation, name)
        draft = _draft_of(session, annotation, name, known, doubtful)
        if draft is not None:
            chosen[name] = draft.id
    return chosen


def _draft_of(
    session: Session, annotation: Annotation, name: str, known: FillingModels, doubtful: bool
) -> Presegmentation | None:
    for version in known.good.get(name, ()):
        if doubtful and not known.knows_well(version, name):
            continue
        draft = presegmentations.by_model(session, annotation.acquisition_id, version)
        if draft is not None:
            return draft
    if doubtful or name in known.good or known.is_bad(name):
        return None
    return presegmentation_to_fill_from(session, annotation)


def missing_versions(
    workspace: Workspace, session: Session, annotation: Annotation, known: FillingModels
) -> dict[str, tuple[str, ...]]:
    """List the versions whose drafts an annotation should be filled from, each with those to try in its place.

    Returns
    -------
    By structure: versions, newest first. Structures that nothing should be filled from, or for which the draft that was
    corrected will do, are left out.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    current = models.current(session).version
    for name in not_annotated(annotation, workspace.scheme):
        if name in known.good:
            wanted[name] = known.good[name]
        elif not known.is_bad(name) and name in known.known.get(current, frozenset()):
            draft = presegmentation_to_fill_from(session, annotation)
            if draft is None or draft.model_version == current:
                wanted[name] = (current,)
    return wanted


def _scores(session: Session, versions: list[ModelVersion]) -> dict[str, dict[str, Score]]:
    names = [row.version for row in versions]
    scores: dict[str, dict[str, Score]] = {name: {} for name in names}
    for version, structures in effort_by_structure(session, names).items():
        for name, effort in structures.items():
            if effort.dsc is not None and effort.dsc_cases >= MIN_CASES:
                scores[version][name] = Score(effort.dsc, effort.dsc_cases, _CORRECTIONS)
    for version, measured in held_out.scores_of(session, names).items():
        for name, score in measured.structures.items():
            if score.cases >= MIN_CASES:
                scores[version][name] = Score(score.dsc, score.cases, _HELD_OUT)
    return scores
