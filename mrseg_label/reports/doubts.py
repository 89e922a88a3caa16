"""Read doubtful masks as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import doubts
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.doubts import DoubtfulMaskOut
from mrseg_label.reports.paging import decode_position, page_of


def read_doubts(
    catalog: Catalog, limit: int, cursor: str | None = None, kind: MaskKind | None = None
) -> Page[DoubtfulMaskOut]:
    """Read a page of the drafts and annotations that the audit doubts, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        found = [DoubtfulMaskOut.of(mask) for mask in doubts.page(session, kind, limit + 1, decode_position(cursor))]
    return page_of(found, limit, lambda item: (item.created, item.id))
