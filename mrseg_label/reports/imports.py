"""Read the imports that were started from the browser."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs
from mrseg_label.catalog.types import JobKind
from mrseg_label.reports.documents.imports import ImportOut


def read_imports(catalog: Catalog, limit: int) -> list[ImportOut]:
    """Read the newest imports, newest first."""
    with catalog.read() as session:
        return [ImportOut.of(row) for row in jobs.newest_of_kind(session, JobKind.IMPORT_IMAGES, limit)]
