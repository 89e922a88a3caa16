"""Compare the sources of TotalSegmentator's pre-segmentations: raw, inverted and equalised images, on a few unseen cases.

The comparison runs in a child process (``python -m mrseg_label.simulation.source_comparison``), since it loads the model. The
child prints one JSON object a line for each measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mrseg_label.errors import Unavailable
from mrseg_label.labels import LabelScheme
from mrseg_label.processes import end_with_parent, kill_group, start_child
from mrseg_label.simulation.phantom.cohort import Planned, Written, write_cohort
from mrseg_label.simulation.radiologist import dsc_of_present, truth_on
from mrseg_label.simulation.slicer import read_image

SOURCES = ("raw", "inverted", "equalized")
# Participants of the phantom who are not in the cohort; contrasts with bright fat first.
_PLAN = ((900, "abdomen"), (901, "pelvis"))
SEQUENCES = ("in", "opp", "t1", "water", "t1fs")
Scores = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Trial:
    """One image to be segmented with every source."""

    sequence: str
    image: str
    truth: str


def make_trials(folder: Path, seed: int, acquisitions: int = len(_PLAN)) -> list[Trial]:
    """Make the images of the comparison, in the order in which they are segmented."""
    plan = [Planned(index, station, SEQUENCES) for index, station in _PLAN[:acquisitions]]
    written: list[Written] = write_cohort(folder / "images", seed, plan, truth=folder / "truth", processes=1)
    return [Trial(sequence, str(one.images[sequence]), str(one.truth)) for sequence in SEQUENCES for one in written]


class Comparison:
    """The comparison, running in a child process while the ``with`` block does.

    Parameters
    ----------
    folder : for images, truth and the log.
    weights : folder of the weights, as TOTALSEG_WEIGHTS_PATH names it.
    progress : called after each segmentation with the number done and their total.
    """

    def __init__(
        self,
        folder: Path,
        trials: Sequence[Trial],
        weights: Path,
        device: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._folder = folder
        self._trials = trials
        self._weights = weights
        self._device = device
        self._progress = progress
        self._scores: Scores = {source: {} for source in SOURCES}
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, name="source-comparison", daemon=True)

    def __enter__(self) -> Comparison:
        manifest = self._folder / "trials.json"
        manifest.write_text(json.dumps([asdict(trial) for trial in self._trials]))
        command = [sys.executable, "-m", __name__, "--trials", str(manifest), "--weights", str(self._weights)]
        command += ["--home", str(self._folder / "home"), "--device", self._device]
        with self._log.open("wb") as log:
            self._process = start_child(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                environment={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
            )
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            kill_group(self._process.pid)
            self._process.wait()
        self._reader.join()

    def scores(self) -> Scores:
        """Wait until the comparison has finished, and return the DSC of each case by source and sequence.

        Raises
        ------
        Unavailable
            The child process failed; the message has the end of its log.
        """
        assert self._process is not None
        code = self._process.wait()
        self._reader.join()
        if code != 0 or self._count != self.total:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise Unavailable(
                f"the comparison of sources exited with code {code} after {self._count} of {self.total} segmentations:\n{tail}"
            )
        return self._scores

    @property
    def total(self) -> int:
        """Number of segmentations."""
        return len(self._trials) * len(SOURCES)

    @property
    def _log(self) -> Path:
        return self._folder / "comparison.log"

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            measured: dict[str, Any] = json.loads(line)
            self._scores[measured["source"]].setdefault(measured["sequence"], []).append(measured["mean_dsc"])
            self._count += 1
            if self._progress is not None:
                self._progress(self._count, self.total)


def measure(trials: Sequence[Trial], weights: Path, home: Path, device: str) -> Iterator[dict[str, Any]]:
    """Segment every image with every source through TotalSegmentator's API, and compare with the truth."""
    from mrseg_label.presegmentation.sources import Preparation
    from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime

    scheme = LabelScheme.default()
    runtime = TotalSegmentatorRuntime(weights, home, device)
    for trial in trials:
        image = read_image(Path(trial.image))
        truth = truth_on(image, Path(trial.truth))
        for name in SOURCES:
            labels = runtime.segment(Path(trial.image), Preparation(name), scheme)
            dsc = dsc_of_present(truth, np.ascontiguousarray(labels.T), scheme)
            yield {"source": name, "sequence": trial.sequence, "mean_dsc": float(np.mean(list(dsc.values())))}


def _run(trials: Sequence[Trial], weights: Path, home: Path, device: str, results: TextIO) -> None:
    for measured in measure(trials, weights, home, device):
        print(json.dumps(measured), file=results, flush=True)


def main() -> None:
    """Run the child process."""
    parser = argparse.ArgumentParser(description="Compare the sources of TotalSegmentator's pre-segmentations")
    for name in ("trials", "weights", "home"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    end_with_parent()
    os.nice(5)  # readers who wait for drafts come first
    trials = [Trial(**entry) for entry in json.loads(arguments.trials.read_text())]
    results = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # keep the output of libraries apart from the results
        _run(trials, arguments.weights, arguments.home, arguments.device, results)


if __name__ == "__main__":
    main()
