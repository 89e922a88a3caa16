"""Read what was measured of each model version: on held-out cases, and by what readers changed."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import kept_scores, models
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.learning import EffortPoint, LearningPoint, PerformanceOut
from mrseg_label.reports.paging import decode_position, encode_cursor, split_page


def read_learning_curve(catalog: Catalog, limit: int, cursor: str | None = None) -> Page[LearningPoint]:
    """Read a page of the learning curve, one point a model version, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    found = read_performance(catalog, limit, cursor)
    return Page[LearningPoint](items=[item.learning for item in found.items], next=found.next)


def read_effort(catalog: Catalog, limit: int, cursor: str | None = None) -> Page[EffortPoint]:
    """Read a page of the readers' effort, one point a model version, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    found = read_performance(catalog, limit, cursor)
    return Page[EffortPoint](items=[item.effort for item in found.items], next=found.next)


def read_performance(catalog: Catalog, limit: int, cursor: str | None = None) -> Page[PerformanceOut]:
    """Read both in one unit of work, newest model version first. Raises as :func:`read_learning_curve`."""
    with catalog.read() as session:
        shown, last = split_page(models.page(session, limit + 1, decode_position(cursor)), limit)
        sums = kept_scores.sums_by_version(session, shown)
        common = kept_scores.common_scores(session)
        items = [
            PerformanceOut(
                learning=LearningPoint.of(row, sums[row.version], common.get(row.version)),
                effort=EffortPoint.of(row, sums[row.version]),
            )
            for row in shown
        ]
        return Page[PerformanceOut](items=items, next=encode_cursor(last.created_at, last.version) if last else None)
