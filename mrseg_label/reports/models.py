"""Read model versions as documents."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs, kept_scores, models
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import JobKind
from mrseg_label.errors import MrsegError, NotFound
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.registry import service
from mrseg_label.registry.lineage import licences_of
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.models import CardOut, ModelDetail, ModelOut
from mrseg_label.reports.paging import decode_position, page_of
from mrseg_label.reports.sources import read_sources
from mrseg_label.rounds.card import card_text


def read_models(catalog: Catalog, limit: int, cursor: str | None = None) -> Page[ModelOut]:
    """Read a page of model versions, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        rows = models.page(session, limit + 1, decode_position(cursor))
        scores = kept_scores.scores_of(session, [row.version for row in rows])
        tried = jobs.active_keys(session, JobKind.TRY_MODEL, [row.version for row in rows])
        documents = [
            ModelOut.of(row, scores[row.version], licences_of(session, row), row.version in tried) for row in rows
        ]
    return page_of(documents, limit, lambda model: (model.created, model.version))


def read_model(catalog: Catalog, version: str) -> ModelOut:
    """Read a model version.

    Raises
    ------
    NotFound
        There is no such version.
    """
    with catalog.read() as session:
        return _with_score(session, service.get(session, version))


def read_model_detail(workspace: OpenedWorkspace, version: str) -> ModelDetail:
    """Read a model version with the conventions that are stored in its files.

    Raises
    ------
    NotFound
        There is no such version.
    """
    with workspace.catalog.read() as session:
        row = service.get(session, version)
        document = _with_score(session, row)
    orientation, labels_from, labels = _conventions_of(workspace, row)
    return ModelDetail(**document.model_dump(), orientation=orientation, labels_from=labels_from, labels=labels)


def _conventions_of(workspace: OpenedWorkspace, row: ModelVersion) -> tuple[str | None, str, dict[str, str | None]]:
    """Orientation of a version, where its labels come from, and the structure of each that is named otherwise."""
    try:
        if row.path is None:
            found = {source.orientation for source in read_sources(workspace) if row.version == BOOTSTRAP}
            return found.pop() if len(found) == 1 else None, "the label set of each source in labels.tsv", {}
        conventions = ModelConventions.read(workspace.path(row.path))
    except MrsegError as error:
        # What the system says of a file names folders of the server, and readers see this.
        unreadable = isinstance(error.__cause__, OSError)
        return None, f"not known: {'its files cannot be read here' if unreadable else error}", {}
    structures = conventions.structures
    if structures is None:
        return conventions.orientation, "every label is named as its structure", {}
    meant = [structure for structure in structures.values() if structure is not None]
    left_out = len(structures) - len(meant)
    text = f"stated at the import (labels: {len(meant)}, of structures: {len(set(meant))}, left out: {left_out})"
    return conventions.orientation, text, dict(structures)


def read_current_version(catalog: Catalog) -> str:
    """Read the name of the model version that makes the pre-segmentations now."""
    with catalog.read() as session:
        return service.current(session).version


def read_current_model(catalog: Catalog) -> ModelOut:
    """Read the model version that makes the pre-segmentations now."""
    with catalog.read() as session:
        return _with_score(session, service.current(session))


def _with_score(session: Session, row: ModelVersion) -> ModelOut:
    score = kept_scores.scores_of(session, [row.version])[row.version]
    tried = jobs.active_keys(session, JobKind.TRY_MODEL, [row.version])
    return ModelOut.of(row, score, licences_of(session, row), bool(tried))


def read_card(catalog: Catalog, version: str) -> CardOut:
    """Read the card of the data set that a version was trained on.

    Raises
    ------
    NotFound
        There is no such version, or it has no card.
    """
    with catalog.read() as session:
        row = service.get(session, version)
    if not row.card:
        raise NotFound(
            f"model version {version} has no data-set card: only rounds since this release write one, and an imported "
            "model has one if it came from such a round"
        )
    return CardOut(version=version, card=row.card, text=card_text(row.card, version))
