"""Pre-segment annotated cases that never had a pre-segmentation and leave structures unannotated.

Imported masks often hold only some of the structures, and these cases are never assigned to a reader. Before a
round takes its snapshot, the current model segments what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment import make_presegmentation, store
from mrseg_label.rounds.filling import not_annotated, presegmentation_to_fill_from, structures_known
from mrseg_label.rounds.left_out import NOT_OF_THE_CASE

log = logging.getLogger("mrseg_label.rounds")


def make_missing_presegmentations(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    check: Callable[[], None],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Pre-segment the training cases that have no pre-segmentation and lack structures which the model knows.

    Parameters
    ----------
    check : called between cases; may raise to end the work. Pre-segmentations made so far are kept.
    progress : called with the number of cases done and their total.

    Returns
    -------
    Number of cases that were missing a pre-segmentation.

    Raises
    ------
    Unavailable, ConfigurationError, DamagedModel
        The model cannot run: its weights are missing or damaged.
    """
    with workspace.catalog.read() as session:
        model = models.current(session)
        known = structures_known(workspace, session, model.version)
        pending = [
            annotation.acquisition_id
            for annotation, participant in annotation_rows.snapshot_candidates(session)
            if not participant.held_out
            and known.intersection(not_annotated(annotation, workspace.scheme))
            and _is_missing(workspace, presegmentation_to_fill_from(session, annotation), model.version)
        ]
    for done, acquisition_id in enumerate(pending):
        check()
        progress(done, len(pending))
        with workspace.catalog.read() as session:
            examination = acquisitions.primary_of(session, acquisition_id)
        if examination is None:
            continue
        try:
            presegmentation = make_presegmentation(workspace, loaded_models, model, examination, check)
        except NOT_OF_THE_CASE:
            raise
        except Exception:
            # The round goes on without: what this case does not annotate stays unknown.
            log.warning("no draft could be made of acquisition %s", acquisition_id, exc_info=True)
            continue
        with workspace.catalog.begin() as session:
            present = presegmentations.by_model(session, acquisition_id, model.version)
            if present is None or not is_whole(workspace, present):
                store(session, presegmentation)
                continue
        workspace.path(presegmentation.path).unlink()  # another worker made one in the meantime
    return len(pending)


def _is_missing(workspace: OpenedWorkspace, presegmentation: Presegmentation | None, version: str) -> bool:
    """Whether a model can make what an annotation is filled from: there is none, or its own is damaged."""
    if presegmentation is None:
        return True
    return presegmentation.model_version == version and not is_whole(workspace, presegmentation)
