"""Read which masks somebody should look at, the most suspicious first."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import suspicions
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.suspicious import SuspiciousMaskOut
from mrseg_label.reports.paging import decode_score, page_of


def read_suspicious(
    catalog: Catalog, limit: int, cursor: str | None = None, kind: SuspicionKind | None = None
) -> Page[SuspiciousMaskOut]:
    """Read a page of the annotations and drafts that somebody should look at, the most suspicious first.

    Parameters
    ----------
    kind : only those with such a reason.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    after = decode_score(cursor)
    with catalog.read() as session:
        found = [SuspiciousMaskOut.of(one) for one in suspicions.page(session, kind, limit + 1, after)]
    return page_of(found, limit, lambda item: (item.score, item.id))


def count_suspicious(catalog: Catalog) -> dict[str, int]:
    """Count the masks that are listed for each reason; under the empty name all of them."""
    with catalog.read() as session:
        return suspicions.counts(session)
