"""Write a cohort to disk: images as a hospital would export them, and the truth in a separate folder."""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrseg_label.processes import children_ignore_ctrl_c
from mrseg_label.simulation.phantom.grid import ct_grid
from mrseg_label.simulation.phantom.painting import Painted, paint
from mrseg_label.simulation.phantom.participant import Participant
from mrseg_label.simulation.phantom.rendering import DIXON, render_all

PARTICIPANTS_CSV = "participants.csv"
TRUTH_FOLDER = "truth"
COMPARISON_SEQUENCES = ("in", "opp", "water", "fat", "t1", "t1fs")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Planned:
    """An acquisition to be made: a participant's station in some sequences, all on one grid."""

    index: int
    station: str
    sequences: tuple[str, ...] = DIXON

    def image_path(self, participant: Participant, sequence: str) -> Path:
        """Path of an image in the cohort's folder."""
        return Path(participant.code) / f"{self.station}_{sequence}.nii.gz"

    def truth_path(self, participant: Participant) -> Path:
        """Path of the truth in the truth folder."""
        return Path(participant.code) / f"{self.station}.nii.gz"


@dataclass(frozen=True)
class Written:
    """An acquisition on disk.

    Attributes
    ----------
    images : path by sequence.
    truth : path of the label map, in the label ids of the default scheme.
    """

    participant: Participant
    station: str
    images: dict[str, Path]
    truth: Path


def demo_plan(participants: int = 12, stations: Sequence[str] = ("abdomen", "pelvis"), first: int = 0) -> list[Planned]:
    """Plan the demo's cohort: every participant at every station in the four Dixon channels."""
    return [Planned(index, station) for index in range(first, first + participants) for station in stations]


def comparison_plan(
    first: int = 900, participants: int = 2, stations: Sequence[str] = ("abdomen", "pelvis")
) -> list[Planned]:
    """Plan acquisitions of other participants in more contrasts, to compare the sources of pre-segmentations."""
    return [
        Planned(index, station, COMPARISON_SEQUENCES)
        for index in range(first, first + participants)
        for station in stations
    ]


def write_cohort(
    folder: Path,
    seed: int,
    plan: Iterable[Planned] | None = None,
    *,
    truth: Path | None = None,
    processes: int = 2,
    progress: Progress | None = None,
) -> list[Written]:
    """Write a cohort: ``<participant>/<station>_<sequence>.nii.gz`` and ``participants.csv`` under ``folder``.

    Parameters
    ----------
    plan : acquisitions to make; the demo's by default.
    truth : folder of ``<participant>/<station>.nii.gz`` label maps; ``folder / "truth"`` by default. The
        server must never see it.
    processes : number of acquisitions that are made at the same time.
    progress : called after each acquisition with the number done, their total, and a name.

    Returns
    -------
    The acquisitions in the order of the plan.
    """
    planned = list(demo_plan() if plan is None else plan)
    truth = folder / TRUTH_FOLDER if truth is None else truth
    folder.mkdir(parents=True, exist_ok=True)
    write_participants(
        folder / PARTICIPANTS_CSV, [Participant.draw(seed, i) for i in sorted({p.index for p in planned})]
    )
    results: dict[int, Written] = {}

    def record(position: int, written: Written) -> None:
        results[position] = written
        if progress is not None:
            progress(len(results), len(planned), f"{written.participant.code} {written.station}")

    if processes <= 1:
        for position, one in enumerate(planned):
            record(position, write_acquisition(one, seed, folder, truth))
    else:
        # Not forked, since this process may have threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            with children_ignore_ctrl_c():
                futures = {pool.submit(write_acquisition, p, seed, folder, truth): k for k, p in enumerate(planned)}
            for future in as_completed(futures):
                record(futures[future], future.result())
    return [results[position] for position in range(len(planned))]


def write_acquisition(planned: Planned, seed: int, folder: Path, truth: Path) -> Written:
    """Paint, render and write one acquisition and its truth."""
    participant = Participant.draw(seed, planned.index)
    grid = ct_grid(participant, planned.station) if planned.sequences == ("ct",) else None
    painted = paint(participant, planned.station, grid)
    images = {}
    for sequence, volume in render_all(painted, planned.sequences).items():
        images[sequence] = folder / planned.image_path(participant, sequence)
        write_nifti(volume, painted, images[sequence])
    truth_file = truth / planned.truth_path(participant)
    write_nifti(painted.structures, painted, truth_file)
    return Written(participant, planned.station, images, truth_file)


def write_nifti(volume: NDArray[np.int16] | NDArray[np.uint8], painted: Painted, path: Path) -> None:
    """Write a volume on the grid of ``painted`` as compressed NIfTI, with equal qform and sform."""
    image = nib.Nifti1Image(volume, painted.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(painted.affine, code=1)
    image.set_qform(painted.affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def write_participants(path: Path, participants: Iterable[Participant]) -> None:
    """Write a CSV file with ``participant,sex,age``, one row a participant."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["participant", "sex", "age"])
        writer.writerows([p.code, p.sex, p.age] for p in participants)
