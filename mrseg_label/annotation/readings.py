"""Compare two readings of a case."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.errors import Conflict, NotFound


@dataclass(frozen=True)
class Agreement:
    """Agreement of two readings about one structure.

    Attributes
    ----------
    dsc : None where it is absent in both.
    hd95_mm : None where it is absent in one of the two, or in both.
    counts : whether it counts in the mean (:func:`mrseg_label.metrics.scoring.agreement`).
    """

    dsc: float | None
    hd95_mm: float | None
    counts: bool


def compare(workspace: OpenedWorkspace, first_id: str, second_id: str) -> dict[str, Agreement]:
    """Compute DSC and HD95 of every structure that both readers judged, by name in the order of the ids.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        They are annotations of different acquisitions.
    """
    from mrseg_label.metrics import agreement, dice, hausdorff95, per_structure
    from mrseg_label.segments.files import read_label_map  # imported here: SciPy is behind both

    with workspace.catalog.read() as session:
        first, second = rows.get(session, first_id), rows.get(session, second_id)
    if first is None or second is None:
        raise NotFound(f"there is no annotation {(first_id if first is None else second_id)[:60]!r}")
    if first.acquisition_id != second.acquisition_id:
        raise Conflict(f"{first_id} and {second_id} are annotations of different cases and cannot be compared")
    mask, geometry = read_label_map(workspace.path(first.path))
    other, _ = read_label_map(workspace.path(second.path))
    structures = len(workspace.scheme)
    dsc = per_structure(workspace.scheme, dice(mask, other, structures))
    counted = per_structure(workspace.scheme, agreement(mask, other, structures))
    hd95 = per_structure(workspace.scheme, hausdorff95(mask, other, geometry.spacing_mm, structures))
    both = first.judged & second.judged
    return {
        name: Agreement(
            dsc[name], None if hd95[name] in (None, float("inf")) else hd95[name], counted[name] is not None
        )
        for name in workspace.scheme.names
        if name in both
    }
