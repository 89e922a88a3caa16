"""Make the drafts that a round's annotations are filled from, where they are missing.

Before a round takes its snapshot, structures that were not annotated are looked up
(:mod:`mrseg_label.rounds.filling_choice`): the newest model that knows one well may not have drafted the case, since
only cases that wait for a reader are drafted again after a promotion, and imported masks never had a draft. How well the
current model knows a structure is measured on the held-out cases first; the round compares the new model with the same
scores later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, presegmentations, snapshots
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.errors import ConfigurationError, DamagedModel, Unavailable
from mrseg_label.presegmentation.clean_up import impossible_structures
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment import make_presegmentation, store
from mrseg_label.rounds.evaluation import evaluate
from mrseg_label.rounds.filling import not_annotated
from mrseg_label.rounds.filling_choice import filling_models, missing_versions
from mrseg_label.rounds.left_out import NOT_OF_THE_CASE

log = logging.getLogger("mrseg_label.rounds")
_OF_THE_MODEL = (Unavailable, ConfigurationError, DamagedModel)
Progress = Callable[[int, int], None]


def score_current_model(workspace: OpenedWorkspace, loaded_models: LoadedModels, check: Callable[[], None]) -> None:
    """Evaluate the current model on the held-out cases, if any training case lacks a structure.

    Raises
    ------
    Unavailable, ConfigurationError, DamagedModel
        The model cannot run: its weights are missing or damaged.
    """
    with workspace.catalog.read() as session:
        candidates = snapshots.candidates(session)
        model = models.current(session)
        if not any(
            not participant.held_out and not_annotated(annotation, workspace.scheme)
            for annotation, participant in candidates
        ):
            return
        held_out = [annotation for annotation, participant in candidates if participant.held_out]
    scores = evaluate(workspace, loaded_models, model, held_out, check, {})
    with workspace.catalog.begin() as session:
        for measured in (*scores.cases, *scores.work):
            session.merge(measured)


def make_missing_presegmentations(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    check: Callable[[], None],
    progress: Progress = lambda _done, _total: None,
) -> int:
    """Pre-segment the training cases whose structures should be filled from drafts that do not exist.

    Where a model cannot run, the next older one that knows the structure well takes its place.

    Parameters
    ----------
    check : called between cases; may raise to end the work. Pre-segmentations made so far are kept.
    progress : called with the number of drafts done and their total.

    Returns
    -------
    Number of pre-segmentations that were missing.
    """
    cannot_run: set[str] = set()
    tried: set[tuple[str, str]] = set()
    while pending := [one for one in _missing(workspace, cannot_run) if one not in tried]:
        # Model by model, so that each is loaded once.
        for version, acquisition_id in sorted((version, case) for case, version in pending):
            if version in cannot_run:
                continue
            check()
            progress(len(tried), len(tried.union(pending)))
            tried.add((acquisition_id, version))
            try:
                make_draft(workspace, loaded_models, version, acquisition_id, check)
            except _OF_THE_MODEL as error:
                log.warning("structures cannot be filled from model version %s: %s", version, error)
                cannot_run.add(version)
    return len(tried)


def _missing(workspace: OpenedWorkspace, cannot_run: set[str]) -> list[tuple[str, str]]:
    """Acquisitions with the version whose draft is missing."""
    with workspace.catalog.read() as session:
        known = filling_models(workspace, session)
        found: dict[tuple[str, str], None] = {}
        for annotation, participant in snapshots.candidates(session):
            if participant.held_out:
                continue
            for versions in missing_versions(workspace, session, annotation, known).values():
                version = next((one for one in versions if one not in cannot_run), None)
                if version is None:
                    continue
                draft = presegmentations.by_model(session, annotation.acquisition_id, version)
                if draft is None or not is_whole(workspace, draft):
                    found[annotation.acquisition_id, version] = None
        return list(found)


def make_draft(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    version: str,
    acquisition_id: str,
    check: Callable[[], None],
) -> None:
    """Make the draft of an acquisition by a model version and store it; a case that fails is passed over.

    Raises
    ------
    Unavailable, ConfigurationError, DamagedModel
        The model cannot run.
    """
    with workspace.catalog.read() as session:
        model: ModelVersion | None = models.get(session, version)
        examination = acquisitions.primary_of(session, acquisition_id)
        impossible = impossible_structures(session, acquisition_id)
    if model is None or examination is None:
        return
    try:
        presegmentation = make_presegmentation(
            workspace, loaded_models, model, examination, check, impossible=impossible
        )
    except NOT_OF_THE_CASE:
        raise
    except Exception:
        # The round goes on without: an older draft is used, or what this case does not annotate stays unknown.
        log.warning("no draft could be made of acquisition %s by %s", acquisition_id, version, exc_info=True)
        return
    with workspace.catalog.begin() as session:
        present = presegmentations.by_model(session, acquisition_id, version)
        if present is None or not is_whole(workspace, present):
            store(session, presegmentation)
            return
    workspace.path(presegmentation.path).unlink()  # another worker made one in the meantime
