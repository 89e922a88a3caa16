"""Drafts for what readers left unjudged in cases that were annotated without one.

Masks that came with an import often have some of the structures only, and nobody is ever handed these cases. The
present model says of the others where they are, before the round takes its snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.presegmentation.engines import Engines
from mrseg_label.presegmentation.presegment import make
from mrseg_label.rounds.filling import not_judged, presegmentation_of, structures_known


def make_missing(
    workspace: OpenedWorkspace,
    engines: Engines,
    check: Callable[[], None],
    say: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Let the current model draft every case to train on that has no draft and leaves open what the model knows.

    Parameters
    ----------
    check : is called between cases and may raise to end the work; drafts made so far stay.
    say : is called with the number of drafts made and wanted.

    Returns
    -------
    How many drafts were made.

    Raises
    ------
    Unavailable, ConfigurationError
        The model cannot be run: its weights are missing.
    """
    with workspace.catalog.read() as session:
        model = models.current(session)
        known = structures_known(workspace.scheme, session, model.version)
        wanted = [
            annotation.acquisition_id
            for annotation, participant in annotation_rows.snapshot_candidates(session)
            if not participant.held_out
            and known.intersection(not_judged(annotation, workspace.scheme))
            and presegmentation_of(session, annotation) is None
        ]
    for done, acquisition_id in enumerate(wanted):
        check()
        say(done, len(wanted))
        with workspace.catalog.read() as session:
            examination = acquisitions.primary_of(session, acquisition_id)
        if examination is None:
            continue
        presegmentation = make(workspace, engines, model, examination, check)
        with workspace.catalog.begin() as session:
            if presegmentations.by_model(session, acquisition_id, model.version) is None:
                session.add(presegmentation)
                continue
        workspace.path(presegmentation.path).unlink()  # a worker made one meanwhile
    return len(wanted)
