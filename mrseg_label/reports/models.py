"""Read model versions as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import listings
from mrseg_label.catalog.types import Position
from mrseg_label.registry import service
from mrseg_label.registry.compare import compare
from mrseg_label.reports.documents.models import ComparisonOut, ModelOut


def read_models(catalog: Catalog, limit: int, after: Position | None = None) -> list[ModelOut]:
    """Read model versions, newest first."""
    with catalog.read() as session:
        return [ModelOut.of(row) for row in listings.models(session, limit, after)]


def read_model(catalog: Catalog, version: str) -> ModelOut:
    """Read a model version.

    Raises
    ------
    NotFound
        There is no such version.
    """
    with catalog.read() as session:
        return ModelOut.of(service.get(session, version))


def read_comparison(catalog: Catalog, first: str, second: str) -> ComparisonOut:
    """Read how two versions compare on the held-out cases that both were evaluated on.

    Raises
    ------
    NotFound
        One of the versions does not exist.
    """
    with catalog.read() as session:
        return ComparisonOut.of(compare(session, first, second))
