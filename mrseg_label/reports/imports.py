"""Read the imports, and the sendings to the archive, that were started from the browser or over REST."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs
from mrseg_label.catalog.types import JobKind
from mrseg_label.reports.documents.imports import ImportOut, SendingOut


def read_imports(catalog: Catalog, limit: int) -> list[ImportOut]:
    """Read the newest imports, newest first."""
    with catalog.read() as session:
        return [ImportOut.of(row) for row in jobs.newest_of_kind(session, JobKind.IMPORT_IMAGES, limit)]


def read_sendings(catalog: Catalog, limit: int) -> list[SendingOut]:
    """Read the newest jobs that send annotations to the archive, newest first."""
    with catalog.read() as session:
        return [SendingOut.of(row) for row in jobs.newest_of_kind(session, JobKind.SEND_ANNOTATIONS, limit)]
