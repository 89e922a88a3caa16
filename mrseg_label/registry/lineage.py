"""The lineage of a version: what its training started from, and the licences that it inherits."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, models
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import LOCAL
from mrseg_label.errors import Conflict
from mrseg_label.licences import TOTALSEGMENTATOR_WEIGHTS, check_licence, inherited
from mrseg_label.registry import service

FIRST_WEIGHTS_KEY = "first_weights"  # of Round.result and of ModelVersion.record


def licences_of(session: Session, model: ModelVersion) -> list[str]:
    """List the licences in the lineage of a version: of its own weights, and of what they were trained from."""
    if model.version == BOOTSTRAP:
        return [TOTALSEGMENTATOR_WEIGHTS]
    known = (model.record or {}).get(FIRST_WEIGHTS_KEY)
    if known is not None:
        return inherited(model.licence, known["licences"])
    # Of an earlier version of this program, which kept no record, or imported.
    parent = models.get(session, model.parent) if model.parent else None
    return inherited(model.licence, licences_of(session, parent) if parent is not None else ())


def state_licence(workspace: OpenedWorkspace, version: str, licence: str, *, actor: str = LOCAL) -> ModelVersion:
    """State the licence of a version's weights; rounds that start from them heed it from now on.

    Raises
    ------
    NotFound
        There is no such version.
    Conflict
        It is the bootstrap, whose licence is known.
    InvalidInput
        The text is no licence.
    """
    text = check_licence(licence)
    with workspace.catalog.begin() as session:
        row = service.get(session, version)
        if row.path is None:
            raise Conflict(f"model version {version} is TotalSegmentator, whose licence is known")
        audit.record(session, actor, "model.licence", version, before=row.licence, after=text)
        row.licence = text
        return row
