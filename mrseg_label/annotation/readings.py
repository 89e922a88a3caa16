"""Compare readings of a case: how far they agree on each structure, measured once for two mask files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mrseg_label.annotation.independence import find_pairs
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import readings
from mrseg_label.errors import Conflict, GeometryError, MrsegError, NotFound
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme


@dataclass(frozen=True)
class Agreement:
    """Agreement of two readings about one structure.

    Attributes
    ----------
    dsc : None where it is absent in both.
    hd95_mm : None where it is absent in one of the two, or in both.
    nsd : normalised surface Dice; None where it is absent in both, or as long as only an earlier version measured the pair.
    counts : whether it counts in the mean (:func:`mrseg_label.metrics.scoring.agreement`).
    """

    dsc: float | None
    hd95_mm: float | None
    counts: bool
    nsd: float | None = None

    @property
    def hd95_infinite(self) -> bool:
        """Whether only one of the two has it, so that no distance says how far they are apart."""
        return self.dsc is not None and self.hd95_mm is None


def compare(workspace: OpenedWorkspace, first_id: str, second_id: str) -> dict[str, Agreement]:
    """Compare every structure that both readers judged, by name in the order of the ids.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        They are annotations of different acquisitions.
    """
    with workspace.catalog.read() as session:
        first, second = rows.get(session, first_id), rows.get(session, second_id)
        if first is None or second is None:
            raise NotFound(f"there is no annotation {(first_id if first is None else second_id)[:60]!r}")
        if first.acquisition_id != second.acquisition_id:
            raise Conflict(f"{first_id} and {second_id} are annotations of different cases and cannot be compared")
        pair = readings.ordered(first.digest, second.digest)
        stored = readings.agreements(session, [pair]).get(pair)
    measured = stored if stored is not None else measure(workspace, first.path, second.path)
    return select_judged(workspace.scheme, measured, first.judged & second.judged)


def measure(workspace: OpenedWorkspace, first: str, second: str) -> dict[str, Any]:
    """Measure DSC, HD95 and NSD of two masks, given by their paths in the workspace, as JSON values.

    Returns
    -------
    ``dsc``, ``hd95_mm`` (millimetres; None unless it is in both), ``nsd`` and ``counts`` of each structure that is in either mask.

    Raises
    ------
    GeometryError
        They are not on one grid.
    """
    from mrseg_label.metrics import Presence  # imported here: SciPy is behind both
    from mrseg_label.metrics import compare as compare_masks
    from mrseg_label.segments.files import read_label_map

    mask, geometry = read_label_map(workspace.path(first))
    other, grid = read_label_map(workspace.path(second))
    difference = geometry.difference(grid)
    if difference is not None:
        raise GeometryError(f"{first} and {second} are not on one grid: {difference}")
    compared = compare_masks(mask, other, geometry.spacing_mm, workspace.scheme.nsd_tolerances_mm)
    return {
        name: {
            "dsc": one.dsc,
            "hd95_mm": one.hd95_mm if one.presence is Presence.BOTH else None,
            "nsd": one.nsd,
            "counts": one.counts_between_equals,
        }
        for name, one in compared.by_structure(workspace.scheme).items()
        if one.presence is not Presence.NEITHER
    }


def select_judged(
    scheme: LabelScheme, measured: Mapping[str, Any], judged_by_both: Collection[str]
) -> dict[str, Agreement]:
    """Return what was measured of the structures that both readers judged; those in neither mask have no values."""
    absent = {"dsc": None, "hd95_mm": None, "counts": False}
    return {name: Agreement(**measured.get(name, absent)) for name in scheme.names if name in judged_by_both}


def measure_agreement(context: JobContext) -> int:
    """Measure every pair of independent readings that was not measured yet, or without NSD; returns how many those were.

    Each is kept as soon as it is measured, so that work that is cut short goes on where it ended. A pair that cannot be
    measured, because a file is damaged, is left out.
    """
    workspace = context.workspace
    with context.catalog.read() as session:
        pairs = {pair.digests: pair for pair in find_pairs(session)}
        stored = readings.agreements(session, pairs)
    known = {digests for digests, measured in stored.items() if all("nsd" in one for one in measured.values())}
    done = 0
    for digests in sorted(pairs.keys() - known):
        context.check()
        try:
            measured = measure(workspace, pairs[digests].first.path, pairs[digests].second.path)
        except (MrsegError, OSError):
            continue  # doctor --verify names the file
        with context.catalog.begin() as session:
            readings.store(session, digests, measured, context.catalog.now(session))
        done += 1
    return done
