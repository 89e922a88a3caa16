"""Read the learning curve: what each round's model reached and what its drafts cost, with intervals and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import effort as effort_rows
from mrseg_label.catalog.queries import learning, models
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.queries.effort import ByParticipant, Dimension, EffortFilter, EffortSums
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.catalog.types import CaseRole
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.curve_estimates import NO_EFFORT, CurveVersion, estimate, next_size
from mrseg_label.reports.documents.effort import MeanOut
from mrseg_label.reports.documents.learning_curve import (
    CurveDimension,
    CurveGroupOut,
    CurvePointOut,
    DraftFiguresOut,
    HeldOutFiguresOut,
    LearningCurveOut,
)
from mrseg_label.reports.effort import figure_of
from mrseg_label.reports.held_out_figures import Figures, Scores, shared


def read_curve(workspace: OpenedWorkspace, by: CurveDimension | None = None) -> LearningCurveOut:
    """Read the learning curve of every model version, split by structure, region, station or sequence if wanted."""
    scheme = workspace.scheme
    with workspace.catalog.read() as session:
        channels = learning.held_out_channels(session)
        mixed = learning.origins_of_structures(session)
        drafts = _drafts(session, scheme, by)
        versions = _versions(session)
    people = {name: k for k, name in enumerate(sorted({one.participant for of in channels.values() for one in of}))}
    for one in versions:
        of = channels.get(one.row.version)
        one.scores = None if of is None else Scores(one.row.version, of, scheme.names, people, mixed)
        one.drafts = {key[1]: found for key, found in drafts.items() if key[0] == one.row.version}
    # A model that has seen the held-out participants would otherwise leave no case to compare the others on.
    common, counted = shared([one.scores for one in versions if one.scores is not None and not one.saw_held_out])
    groups = _groups(scheme, channels, versions, by)
    points = [_point(one, groups, scheme, by, common, counted) for one in versions]
    size = next_size(versions, workspace.settings.round_size)
    return LearningCurveOut(
        by=by,
        rounds=[point for point in points if point is not None],
        common_cases=len({case for case, _ in common}),
        estimates=[estimate(group, versions, size) for group in groups],
    )


def _versions(session: Session) -> list[CurveVersion]:
    rows = sorted(
        models.list_all(session),
        key=lambda row: (row.version != BOOTSTRAP and row.round_number is None, row.round_number or 0, row.created_at),
    )
    numbers = [row.round_number for row in rows if row.round_number is not None]
    counts = round_rows.case_counts(session, numbers)
    tainted = round_rows.including_held_out(session)
    return [
        CurveVersion(
            row=row,
            training_cases=counts.get(row.round_number or 0, {}).get(CaseRole.TRAINING, 0),
            saw_held_out=row.round_number in tainted,
            scores=None,
        )
        for row in rows
    ]


def _drafts(session: Session, scheme: LabelScheme, by: CurveDimension | None) -> ByParticipant:
    """Effort by version and group, and there by participant."""
    wanted = EffortFilter()
    match by:
        case None:
            found = effort_rows.case_sums(session, [Dimension.MODEL_VERSION], wanted)
            return {(version, None): sums for (version,), sums in found.items()}
        case CurveDimension.REGION:
            return learning.region_sums(session, _regions(scheme))
        case CurveDimension.STRUCTURE:
            return effort_rows.structure_sums(session, [Dimension.MODEL_VERSION, Dimension.STRUCTURE], wanted)
    return effort_rows.case_sums(session, [Dimension.MODEL_VERSION, Dimension(by.value)], wanted)


def _regions(scheme: LabelScheme) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for structure in scheme:
        found.setdefault(structure.region, []).append(structure.name)
    return found


def _groups(
    scheme: LabelScheme,
    channels: Mapping[str, Sequence[learning.HeldOutChannel]],
    versions: Sequence[CurveVersion],
    by: CurveDimension | None,
) -> Sequence[str | None]:
    """Names of the groups, in the order in which they are shown."""
    if by is None:
        return [None]
    if by is CurveDimension.REGION:
        return list(_regions(scheme))
    drafted = {group for one in versions for group in one.drafts if group is not None}
    every = [one for of in channels.values() for one in of]
    if by is CurveDimension.STRUCTURE:
        known = drafted | {name for one in every for name in one.dsc}
        return [name for name in scheme.names if name in known]
    return sorted(drafted | {one.station if by is CurveDimension.STATION else one.sequence for one in every})


def _point(
    one: CurveVersion,
    groups: Sequence[str | None],
    scheme: LabelScheme,
    by: CurveDimension | None,
    common: set[tuple[str, str]],
    counted: Mapping[tuple[str, str], NDArray[np.bool_]],
) -> CurvePointOut | None:
    """The point of a version; None where nothing was measured of it."""
    if one.scores is None and not one.drafts:
        return None
    found = []
    for group in groups:
        held_out = _held_out(one, group, scheme, by)
        if one.scores is not None and held_out is not None and not one.saw_held_out:
            same = one.scores.are_all(common, counted)
            one.common[group] = held_out if same else _common(one.scores, group, scheme, by, common, counted)
        sums = one.drafts.get(group, NO_EFFORT)
        found.append(
            CurveGroupOut(
                group=group,
                drafts=_draft_figures(sums),
                held_out=_held_out_out(held_out),
                held_out_common=_held_out_out(one.common.get(group)),
            )
        )
    return CurvePointOut(
        round=one.round,
        model_version=one.row.version,
        status=one.row.status,
        created=one.row.created_at,
        training_cases=one.training_cases,
        saw_held_out=one.saw_held_out,
        groups=found,
    )


def _selection(
    scores: Scores, group: str | None, scheme: LabelScheme, by: CurveDimension | None
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which channels and structures belong to a group."""
    every = np.arange(len(scheme))
    match by:
        case CurveDimension.STATION:
            return scores.where(station=group), every
        case CurveDimension.SEQUENCE:
            return scores.where(sequence=group), every
        case CurveDimension.REGION:
            inside = [k for k, structure in enumerate(scheme) if structure.region == group]
            return scores.where(), np.array(inside, dtype=np.intp)
        case CurveDimension.STRUCTURE:
            return scores.where(), np.array([scheme.names.index(group or "")], dtype=np.intp)
    return scores.where(), every


def _held_out(one: CurveVersion, group: str | None, scheme: LabelScheme, by: CurveDimension | None) -> Figures | None:
    if one.scores is None:
        return None
    channels, structures = _selection(one.scores, group, scheme, by)
    return one.scores.figures(channels, structures)


def _common(
    scores: Scores,
    group: str | None,
    scheme: LabelScheme,
    by: CurveDimension | None,
    common: set[tuple[str, str]],
    counted: Mapping[tuple[str, str], NDArray[np.bool_]],
) -> Figures:
    channels, structures = _selection(scores, group, scheme, by)
    nothing = np.zeros(len(scheme), dtype=np.bool_)
    counts = np.array([counted.get(key, nothing) for key in scores.keys], dtype=np.bool_)
    inside = np.array([key in common for key in scores.keys], dtype=np.bool_)
    return scores.figures(channels & inside, structures, counts.reshape(len(scores.keys), len(scheme)))


def _draft_figures(sums: Mapping[str, EffortSums]) -> DraftFiguresOut:
    names = ("dsc", "edited_ml", "edits", "surface_changed", "seconds")
    figures = {name: MeanOut.of(figure_of(sums, name)) for name in names}
    return DraftFiguresOut(
        cases=sum(one.cases for one in sums.values()),
        participants=len(sums),
        unchanged_cases=sum(one.unchanged for one in sums.values()),
        **figures,
    )


_EMPTY = MeanOut(mean=None, low=None, high=None, cases=0, participants=0)


def _held_out_out(found: Figures | None) -> HeldOutFiguresOut:
    if found is None:
        return HeldOutFiguresOut(
            dsc=_EMPTY, hd95_mm=_EMPTY, infinite_hd95=0, nsd=_EMPTY, images=0, propagated_images=0, origins={}
        )
    return HeldOutFiguresOut(
        dsc=MeanOut.of(found.dsc),
        hd95_mm=MeanOut.of(found.hd95_mm),
        infinite_hd95=found.infinite_hd95,
        nsd=MeanOut.of(found.nsd),
        images=found.images,
        propagated_images=found.propagated_images,
        origins={origin: MeanOut.of(mean) for origin, mean in found.origins.items() if mean.cases},
    )
