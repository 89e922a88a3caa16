"""A simulated radiologist: works through cases over HTTP, as somebody at Slicer does."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import dice
from mrseg_label.simulation.client import Inference, Sample, SlicerClient
from mrseg_label.simulation.editing import LabelMap, Skill, correct
from mrseg_label.simulation.slicer import array_of, as_ids, on_grid_of, plan_export, read_image, write_export

MODEL = "mrseg"
STRATEGY = "balanced"


@dataclass(frozen=True)
class TruthFile:
    """What the phantom knows about an examination and the server does not.

    Attributes
    ----------
    path : label map in the ids of the scheme.
    """

    path: Path
    participant: str
    station: str
    sequence: str


@dataclass(frozen=True)
class CaseView:
    """What the reader saw, for pictures: image, draft, submitted correction and truth on one grid."""

    image: sitk.Image = field(repr=False)
    presegmentation: LabelMap = field(repr=False)
    corrected: LabelMap = field(repr=False)
    truth: LabelMap = field(repr=False)


@dataclass(frozen=True)
class CaseResult:
    """One corrected case.

    Attributes
    ----------
    dsc : of the draft against the truth, for each structure that is present.
    corrected_dsc : mean DSC of what was submitted against the truth.
    edited_voxels, edited_ml : what the reader changed. wrong_voxels : where draft and truth differ.
    seconds : from asking for a case to the server's confirmation.
    habit : in which form the correction was exported.
    """

    examination: str
    reader: str
    participant: str
    station: str
    sequence: str
    model_version: str
    dsc: Mapping[str, float]
    corrected_dsc: float
    edited_voxels: int
    edited_ml: float
    wrong_voxels: int
    partly: tuple[str, ...]
    missed: tuple[str, ...]
    habit: str
    seconds: float
    view: CaseView = field(repr=False)

    @property
    def mean_dsc(self) -> float:
        """Mean DSC of the draft over the structures that are present."""
        return float(np.mean(list(self.dsc.values())))


class Radiologist:
    """A reader with a name, a hand and an eye.

    Parameters
    ----------
    truths : truth by examination id.
    scheme : the label scheme in whose ids the truth is written.
    seed : with the case decides what the reader overlooks, whoever of several readers gets it.
    """

    def __init__(
        self,
        name: str,
        server: str,
        truths: Mapping[str, TruthFile],
        scheme: LabelScheme,
        seed: int,
        skill: Skill | None = None,
    ) -> None:
        self.name = name
        self._client = SlicerClient(server, name)
        self._truths = truths
        self._scheme = scheme
        self._seed = seed
        self._skill = skill or Skill()

    def connect(self) -> list[str]:
        """Connect as the module does; the names of the segments that it makes, in the server's order."""
        self._client.auth_enabled()
        labels = self._client.info()["labels"]
        return list(labels)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def work(self, may_start: Callable[[], bool], done: Callable[[CaseResult], None]) -> None:
        """Correct cases as long as ``may_start`` says so and the server has any; ``done`` is called after each."""
        names = self.connect()
        while may_start():
            result = self.one_case(names)
            if result is None:
                return
            done(result)

    def one_case(self, names: list[str]) -> CaseResult | None:
        """Ask for a case, correct it, submit it; None if nothing is left."""
        started = time.monotonic()
        sample = self._client.next_sample(STRATEGY)
        if sample is None:
            return None
        with tempfile.TemporaryDirectory(prefix="mrseg-reader-") as folder:
            image = read_image(self._client.download_image(sample, Path(folder)))
            self._client.original_label(sample.id, Path(folder))
            inference = self._client.infer(MODEL, sample.id, Path(folder))
            return self._correct_and_submit(sample, image, inference, names, Path(folder), started)

    def _correct_and_submit(
        self, sample: Sample, image: sitk.Image, inference: Inference, names: list[str], folder: Path, started: float
    ) -> CaseResult:
        truth_file = self._truths[sample.id]
        truth = truth_on(image, truth_file.path)
        presegmentation = as_ids(read_image(inference.file), inference.names, self._scheme.label_names, image)
        rng = np.random.default_rng([self._seed, zlib.crc32(f"{truth_file.participant}/{truth_file.station}".encode())])
        spacing = tuple(reversed(image.GetSpacing()))
        correction = correct(presegmentation, truth, spacing, len(self._scheme), rng, self._skill)
        of_id = self._scheme.names
        present = {of_id[value - 1] for value in np.unique(correction.labels).tolist() if value}
        export = plan_export(names, present, rng)
        label = write_export(correction.labels, self._scheme.label_names, export, image, folder)
        self._client.submit(sample.id, label, export.segments, MODEL, export.hidden_before)
        self._client.info()
        seconds = time.monotonic() - started
        edited = int(np.count_nonzero(presegmentation != correction.labels))
        return CaseResult(
            examination=sample.id,
            reader=self.name,
            participant=truth_file.participant,
            station=truth_file.station,
            sequence=truth_file.sequence,
            model_version=model_version_of(inference.params),
            dsc=dsc_of_present(truth, presegmentation, self._scheme),
            corrected_dsc=float(np.mean(list(dsc_of_present(truth, correction.labels, self._scheme).values()))),
            edited_voxels=edited,
            edited_ml=edited * float(np.prod(image.GetSpacing())) / 1000,
            wrong_voxels=int(np.count_nonzero(presegmentation != truth)),
            partly=tuple(of_id[value - 1] for value in correction.partly),
            missed=tuple(of_id[value - 1] for value in correction.missed),
            habit=export.habit,
            seconds=seconds,
            view=CaseView(image, presegmentation, correction.labels, truth),
        )


def truth_on(image: sitk.Image, path: Path) -> LabelMap:
    """The truth in the ids of the scheme on the grid of an image, (Z, Y, X) uint8."""
    return array_of(on_grid_of(read_image(path), image)).astype(np.uint8)


def dsc_of_present(truth: LabelMap, labels: LabelMap, scheme: LabelScheme) -> dict[str, float]:
    """DSC of every structure that the truth has, by name."""
    values = dice(truth, labels, len(scheme))
    present = np.bincount(truth.ravel(), minlength=len(scheme) + 1)[1:] > 0
    return {s.name: float(value) for s, value, there in zip(scheme, values, present, strict=True) if there}


def model_version_of(params: Mapping[str, Any]) -> str:
    """Which model made a draft, as the server says beside it."""
    return str(params["model_version"])
