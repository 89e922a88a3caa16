"""Read which masks somebody should look at."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import doubts, suspicions
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.suspicious import SuspiciousMaskOut
from mrseg_label.reports.paging import decode_position, page_of


def read_suspicious(
    catalog: Catalog, limit: int, cursor: str | None = None, kind: SuspicionKind | None = None
) -> Page[SuspiciousMaskOut]:
    """Read a page of the annotations and drafts that somebody should look at, newest first.

    Parameters
    ----------
    kind : only those with such a reason. Drafts are listed for doubts alone.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    after = decode_position(cursor)
    with catalog.read() as session:
        found = [SuspiciousMaskOut.of_annotation(one) for one in suspicions.page(session, kind, limit + 1, after)]
        if kind in (None, SuspicionKind.DOUBT):
            found += [SuspiciousMaskOut.of_draft(one) for one in doubts.page(session, MaskKind.DRAFT, limit + 1, after)]
    found.sort(key=lambda one: (one.created, one.id), reverse=True)
    return page_of(found[: limit + 1], limit, lambda item: (item.created, item.id))
