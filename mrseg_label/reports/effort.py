"""Read what readers changed in drafts, by reader, round, model version, station, sequence and structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mrseg_label.annotation.compared_shapes import USUALLY
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import effort as rows
from mrseg_label.catalog.queries.annotations import FEWEST_JUDGED
from mrseg_label.catalog.queries.effort import Dimension, EffortFilter, EffortSums, Outcome
from mrseg_label.errors import InvalidInput
from mrseg_label.metrics.bootstrap import Mean, mean_of_sums
from mrseg_label.metrics.outliers import FEWEST_OTHERS
from mrseg_label.reports.documents.effort import EffortGroupOut, EffortOut, MeanOut, OutcomesOut
from mrseg_label.scoring import STRUCTURES_THAT_COUNT

MOST_DIMENSIONS = 3
FIGURES = ("edited_voxels", "edited_ml", "edits", "surface_changed", "seconds", "dsc")


def read_effort_by(
    workspace: OpenedWorkspace, by: Sequence[Dimension], wanted: EffortFilter | None = None
) -> EffortOut:
    """Read the effort of the cases that are wanted, by group.

    Raises
    ------
    InvalidInput
        Too many dimensions, one of them twice, or a structure that the scheme does not have.
    """
    wanted = wanted or EffortFilter()
    _check(workspace, by, wanted)
    with workspace.catalog.read() as session:
        single = Dimension.STRUCTURE in by or wanted.structure is not None
        sums = (rows.structure_sums if single else rows.case_sums)(session, by, wanted)
        found = rows.outcomes(session, by, wanted)
        presence = rows.presence(session)
        missing = rows.count_not_measured(session)
    groups = [
        _group(by, key, people, _outcomes(found.get(key, {}), presence))
        for key, people in sorted(sums.items(), key=lambda item: _order(workspace, by, item[0]))
    ]
    return EffortOut(by=list(by), groups=groups, not_measured=missing, rules=_rules(workspace.settings.pause_minutes))


def _check(workspace: OpenedWorkspace, by: Sequence[Dimension], wanted: EffortFilter) -> None:
    if len(by) > MOST_DIMENSIONS or len(set(by)) < len(by):
        raise InvalidInput(f"group by at most {MOST_DIMENSIONS} different things, not by {', '.join(by)}")
    if wanted.structure is not None and wanted.structure not in workspace.scheme.names:
        raise InvalidInput(f"there is no structure {wanted.structure[:60]!r} in the label scheme")


def _group(
    by: Sequence[Dimension], key: rows.Key, people: Mapping[str, EffortSums], outcomes: OutcomesOut
) -> EffortGroupOut:
    figures = {name: MeanOut.of(figure_of(people, name)) for name in FIGURES}
    return EffortGroupOut(
        group=dict(zip(by, key, strict=True)),
        cases=sum(sums.cases for sums in people.values()),
        participants=len(people),
        propagated_images=sum(sums.propagated_images for sums in people.values()),
        unchanged_cases=sum(sums.unchanged for sums in people.values()),
        outcomes=outcomes,
        **figures,
    )


def figure_of(people: Mapping[str, EffortSums], name: str) -> Mean:
    """Compute the mean of a figure from the sums of each participant."""
    found = {who: getattr(sums, name) for who, sums in people.items()}
    return mean_of_sums({who: (one.total, one.count) for who, one in found.items()})


def _outcomes(
    counts: Mapping[tuple[str, str, Outcome], int], presence: Mapping[tuple[str, str], tuple[int, int]]
) -> OutcomesOut:
    """Tell what is in neither mask apart by who else has it at the station."""
    found: dict[str, int] = {}
    for (station, structure, outcome), count in counts.items():
        name = outcome.value
        if outcome in (Outcome.ABSENT, Outcome.NOT_JUDGED):
            judged, present = presence.get((station, structure), (0, 0))
            if present == 0 and judged >= FEWEST_JUDGED:
                name = "outside_field_of_view"
            elif outcome is Outcome.NOT_JUDGED and judged >= FEWEST_OTHERS and present >= USUALLY * judged:
                name = "forgotten"
        found[name] = found.get(name, 0) + count
    return OutcomesOut(**found)


def _order(workspace: OpenedWorkspace, by: Sequence[Dimension], key: rows.Key) -> tuple[Any, ...]:
    """Structures in the order of the scheme, rounds by number, all else by name; what is not known comes first."""
    places = {name: place for place, name in enumerate(workspace.scheme.names)}
    return tuple(
        (
            value is not None,
            places.get(value, -1) if one is Dimension.STRUCTURE else value or (0 if one is Dimension.ROUND else ""),
        )
        for one, value in zip(by, key, strict=True)
    )


def _rules(pause_minutes: float) -> dict[str, str]:
    return {
        "cases": "cases with the annotation that is their mask, where a reader made it; a mask that was propagated to further images of its "
        "case counts once",
        "edits": "connected sets of changed voxels; voxels that share a face, an edge or a corner are connected",
        "surface_changed": "surface voxels of draft and annotation that are farther from the other surface than the tolerance of the "
        "structure, as a share of all",
        "seconds": "time between a reader's requests about a case (opened, image, draft, viewed) and to the submission; a time above "
        f"{pause_minutes:g} minutes (PAUSE_MINUTES) is a pause and left out, and not measured where the submission ends it",
        "dsc": f"of draft and annotation, mean over the {STRUCTURES_THAT_COUNT}",
        "outside_field_of_view": f"in neither mask, and in none of the annotations of at least {FEWEST_JUDGED} participants of the "
        "station",
        "forgotten": f"not judged, though at least {USUALLY:.0%} of {FEWEST_OTHERS} or more participants of the station have it",
    }
