"""Figures: a case as Slicer shows it, and the learning curve."""

from __future__ import annotations

from mrseg_label.reports.figures.case_view import CasePicture, case_view
from mrseg_label.reports.figures.learning_curve import CurvePoint, curve

__all__ = ["CasePicture", "CurvePoint", "case_view", "curve"]
