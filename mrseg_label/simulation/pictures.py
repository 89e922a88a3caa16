"""Draw the pictures of a demo: a pre-segmented and corrected case, and the learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.case_view import CasePicture, case_view
from mrseg_label.reports.figures.learning_curve import CurvePoint, curve
from mrseg_label.simulation.radiologist import CaseResult
from mrseg_label.simulation.slicer import array_of

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def draw_case(case: CaseResult, scheme: LabelScheme, path: Path) -> Path:
    """Draw a case as it was pre-segmented and as the reader corrected it."""
    view = case.view
    assert view is not None
    picture = CasePicture(
        image=array_of(view.image).T,
        presegmentation=view.presegmentation.T,
        corrected=view.corrected.T,
        geometry=geometry_of(view.image),
        title=f"{case.participant} · {case.station} · Dixon {case.sequence}",
        draft_from=case.model_version,
        corrected_by=case.reader,
    )
    case_view(picture, scheme, path)
    return path


def draw_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw the learning curve from the report's ``rounds``."""
    points = [
        CurvePoint(
            round=row["round"],
            model_version=row["model_version"],
            cases=row["cases"],
            mean_dsc=row["mean_dsc"],
            heldout_dsc=row["heldout_dsc"],
            heldout_cases=row["heldout_cases"],
            edited_voxels_per_case=row["edited_voxels_per_case"],
            promoted=row["promoted"],
        )
        for row in rows
    ]
    curve(points, path)
    return path


def choose_example(batch: Sequence[CaseResult]) -> CaseResult | None:
    """Choose the case to draw: the most typical one of the station with the most structures; None without images."""
    batch = [case for case in batch if case.view is not None]
    if not batch:
        return None
    richest = max(len(case.dsc) for case in batch)
    station = next(case.station for case in batch if len(case.dsc) == richest)
    same = [case for case in batch if case.station == station]
    mean = float(np.mean([case.mean_dsc for case in same]))
    return min(same, key=lambda case: abs(case.mean_dsc - mean))


def geometry_of(image: sitk.Image) -> Geometry:
    """Return the grid of an ITK image, for arrays transposed to (X, Y, Z)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Geometry(image.GetSize(), _LPS_TO_RAS @ affine)
