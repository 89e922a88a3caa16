"""Drafts for what readers left unjudged in cases that were annotated without one.

Masks that came with an import often have some of the structures only, and nobody is ever handed these cases. The
present model says of the others where they are, before the round takes its snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from mrseg_label.annotation.filling import draft_of, not_judged, structures_known
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import drafts, models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.presegmentation.drafts import make
from mrseg_label.presegmentation.engines import Engines
from mrseg_label.workspace import Workspace


def make_missing(
    workspace: Workspace,
    catalog: Catalog,
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
    with catalog.read() as session:
        model = models.current(session)
        known = structures_known(workspace.scheme, session, model.version)
        wanted = [
            revision.acquisition_id
            for revision, participant in rows.snapshot_candidates(session)
            if not participant.held_out
            and known.intersection(not_judged(revision, workspace.scheme))
            and draft_of(session, revision) is None
        ]
    for done, acquisition_id in enumerate(wanted):
        check()
        say(done, len(wanted))
        with catalog.read() as session:
            examination = drafts.primary_of(session, acquisition_id)
        if examination is None:
            continue
        draft = make(workspace, engines, model, examination, check)
        with catalog.begin() as session:
            if drafts.by(session, acquisition_id, model.version) is None:
                session.add(draft)
                continue
        workspace.path(draft.path).unlink()  # a worker made one meanwhile
    return len(wanted)
