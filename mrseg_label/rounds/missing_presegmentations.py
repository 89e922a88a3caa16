"""Pre-segment annotated cases that never had a pre-segmentation and leave structures unannotated.

Imported masks often hold only some of the structures, and these cases are never assigned to a reader. Before a
round takes its snapshot, the current model segments what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment import make_presegmentation
from mrseg_label.rounds.filling import not_annotated, presegmentation_to_fill_from, structures_known


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
    Unavailable, ConfigurationError
        The model cannot run: its weights are missing.
    """
    with workspace.catalog.read() as session:
        model = models.current(session)
        known = structures_known(workspace, session, model.version)
        pending = [
            annotation.acquisition_id
            for annotation, participant in annotation_rows.snapshot_candidates(session)
            if not participant.held_out
            and known.intersection(not_annotated(annotation, workspace.scheme))
            and presegmentation_to_fill_from(session, annotation) is None
        ]
    for done, acquisition_id in enumerate(pending):
        check()
        progress(done, len(pending))
        with workspace.catalog.read() as session:
            examination = acquisitions.primary_of(session, acquisition_id)
        if examination is None:
            continue
        presegmentation = make_presegmentation(workspace, loaded_models, model, examination, check)
        with workspace.catalog.begin() as session:
            if presegmentations.by_model(session, acquisition_id, model.version) is None:
                session.add(presegmentation)
                continue
        workspace.path(presegmentation.path).unlink()  # another worker made one in the meantime
    return len(pending)
