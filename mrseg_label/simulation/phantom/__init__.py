"""A seeded phantom of the trunk: participants, their anatomy, and its MR and CT images.

Coordinates are RAS in mm: x to the participant's right, y to the front, z upwards. The same seed and index always give
the same participant and the same images.
"""

from mrseg_label.simulation.phantom.grid import STATIONS, Grid, ct_grid, image_grid
from mrseg_label.simulation.phantom.painting import Painted, paint
from mrseg_label.simulation.phantom.participant import Participant
from mrseg_label.simulation.phantom.rendering import DIXON, SEQUENCES, Acquisition, render, render_all

__all__ = [
    "DIXON",
    "SEQUENCES",
    "STATIONS",
    "Acquisition",
    "Grid",
    "Painted",
    "Participant",
    "ct_grid",
    "image_grid",
    "paint",
    "render",
    "render_all",
]
