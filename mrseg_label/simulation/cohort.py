"""The cohort of the demo: made from the phantom and imported; its truth is kept away from the server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.phantom.cohort import demo_plan, write_cohort
from mrseg_label.simulation.radiologist import TruthFile

STATIONS = ("abdomen", "pelvis")
# Two participants are held out, and some must be left to train on.
_MIN_PARTICIPANTS = 4
_PATTERN = "{participant}/{station}_{sequence}.nii.gz"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Cohort:
    """A cohort on disk.

    Attributes
    ----------
    images : folder to import.
    truth : folder that the server never sees.
    truths : truth file by participant and station.
    """

    images: Path
    truth: Path
    truths: Mapping[tuple[str, str], Path]


def participants_for(cases: int) -> int:
    """Compute the number of participants needed for a number of cases, one case a station."""
    return max(_MIN_PARTICIPANTS, math.ceil(cases / len(STATIONS)))


def make_cohort(folder: Path, cases: int, seed: int, progress: Progress | None = None, processes: int = 2) -> Cohort:
    """Write images and truth for at least ``cases`` cases under ``folder``."""
    images, truth = folder / "images", folder / "truth"
    plan = demo_plan(participants_for(cases), STATIONS)
    written = write_cohort(images, seed, plan, truth=truth, processes=processes, progress=progress)
    return Cohort(images, truth, {(one.participant.code, one.station): one.truth for one in written})


def import_cohort(
    workspace: Path, cohort: Cohort, progress: Callable[[int, int], None] | None = None
) -> dict[str, TruthFile]:
    """Import the images of a cohort.

    Returns
    -------
    Truth by examination id.

    Raises
    ------
    InvalidInput
        An image was refused.
    """
    opened = open_workspace(workspace)
    try:
        report = import_paths(opened, [cohort.images], ImportOptions(pattern=_PATTERN), progress)
    finally:
        opened.close()
    if report.refused:
        raise InvalidInput(f"the image {report.refused[0].source} was refused: {report.refused[0].reason}")
    return {
        entry.id: TruthFile(
            cohort.truths[entry.participant, entry.station], entry.participant, entry.station, entry.sequence
        )
        for entry in report.accepted
    }
