"""Read which masks somebody should look at, the most suspicious first."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import suspicions
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.suspicious import SuspiciousMaskOut
from mrseg_label.reports.paging import decode_score, page_of


def read_suspicious(
    catalog: Catalog,
    limit: int,
    cursor: str | None = None,
    kind: SuspicionKind | None = None,
    *,
    dismissed: bool = False,
) -> Page[SuspiciousMaskOut]:
    """Read a page of the annotations and drafts that somebody should look at, the most suspicious first.

    Parameters
    ----------
    kind : only those with such a reason.
    dismissed : those that somebody looked at and found in order, instead of the others.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    after = decode_score(cursor)
    with catalog.read() as session:
        rows = suspicions.page(session, kind, limit + 1, after, dismissed=dismissed)
        found = [SuspiciousMaskOut.of(one) for one in rows]
    return page_of(found, limit, lambda item: (item.score, item.id))


def read_suspicious_mask(catalog: Catalog, mask_id: str) -> SuspiciousMaskOut:
    """Read one of them, dismissed or not. Raises :class:`NotFound` if the id is of no such mask."""
    with catalog.read() as session:
        found = suspicions.get(session, mask_id)
        if found is None:
            raise NotFound(f"{mask_id[:60]!r} is no suspicious mask; list them with: mrseg-label suspicious")
        return SuspiciousMaskOut.of(found)


def count_dismissed(catalog: Catalog) -> int:
    """Count the suspicious masks that were dismissed."""
    with catalog.read() as session:
        return suspicions.count_dismissed(session)


def count_suspicious(catalog: Catalog) -> dict[str, int]:
    """Count the masks that are listed for each reason; under the empty name all of them."""
    with catalog.read() as session:
        return suspicions.counts(session)
