"""A simulated radiologist, who corrects cases over HTTP as a radiologist at Slicer does."""

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
from mrseg_label.metrics import per_structure, score_case
from mrseg_label.simulation.client import Inference, Sample, SlicerClient
from mrseg_label.simulation.editing import LabelMap, Skill, correct
from mrseg_label.simulation.slicer import (
    array_of,
    plan_export,
    read_image,
    resample_to_grid,
    to_label_ids,
    write_export,
)

MODEL = "mrseg"
STRATEGY = "balanced"


@dataclass(frozen=True)
class TruthFile:
    """The truth of an examination, which the server never sees.

    Attributes
    ----------
    path : label map in the label ids of the scheme.
    """

    path: Path
    participant: str
    station: str
    sequence: str


@dataclass(frozen=True)
class CaseView:
    """The image, pre-segmentation, correction and truth of a case on one grid, for pictures."""

    image: sitk.Image = field(repr=False)
    presegmentation: LabelMap = field(repr=False)
    corrected: LabelMap = field(repr=False)
    truth: LabelMap = field(repr=False)


@dataclass(frozen=True)
class CaseResult:
    """One corrected case.

    Attributes
    ----------
    dsc : of the pre-segmentation against the truth, for each structure that is present.
    corrected_dsc : mean DSC of the submitted correction against the truth.
    edited_voxels, edited_ml : how much the reader changed.
    wrong_voxels : number of voxels in which pre-segmentation and truth differ.
    partly, missed : structures that were corrected in part, or not at all.
    habit : the form in which the correction was exported.
    seconds : from the request for a case to the server's confirmation.
    view : for a picture; None if the demo was stopped since.
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
    view: CaseView | None = field(repr=False)

    @property
    def mean_dsc(self) -> float:
        """Mean DSC of the pre-segmentation over the structures that are present."""
        return float(np.mean(list(self.dsc.values())))


class Radiologist:
    """A simulated reader.

    Parameters
    ----------
    name : sent to the server as the client's id.
    server : address of the server.
    truths : truth by examination id.
    scheme : the label scheme of the truth.
    seed : decides, together with the case, what the reader misses; it does not depend on the reader.
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
        """Connect as the module does, and return the names of the segments that it creates, in the server's order."""
        self._client.auth_enabled()
        labels = self._client.info()["labels"]
        return list(labels)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def correct_cases(self, may_start: Callable[[], bool], on_case: Callable[[CaseResult], None]) -> None:
        """Correct cases while ``may_start`` returns True and the server has any; ``on_case`` is called after each."""
        names = self.connect()
        while may_start():
            result = self.correct_next_case(names)
            if result is None:
                return
            on_case(result)

    def correct_next_case(self, names: list[str]) -> CaseResult | None:
        """Request a case, correct it and submit it; None if none is left."""
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
        presegmentation = to_label_ids(read_image(inference.file), inference.names, self._scheme.label_names, image)
        rng = np.random.default_rng([self._seed, zlib.crc32(f"{truth_file.participant}/{truth_file.station}".encode())])
        spacing = tuple(reversed(image.GetSpacing()))
        correction = correct(presegmentation, truth, spacing, len(self._scheme), rng, self._skill)
        scheme_names = self._scheme.names
        present = {scheme_names[value - 1] for value in np.unique(correction.labels).tolist() if value}
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
            partly=tuple(scheme_names[value - 1] for value in correction.partly),
            missed=tuple(scheme_names[value - 1] for value in correction.missed),
            habit=export.habit,
            seconds=seconds,
            view=CaseView(image, presegmentation, correction.labels, truth),
        )


def truth_on(image: sitk.Image, path: Path) -> LabelMap:
    """Read a truth file on the grid of an image: (Z, Y, X) uint8 in the label ids of the scheme."""
    return array_of(resample_to_grid(read_image(path), image)).astype(np.uint8)


def dsc_of_present(truth: LabelMap, labels: LabelMap, scheme: LabelScheme) -> dict[str, float]:
    """Compute the DSC of each structure that counts in the truth (:mod:`mrseg_label.scoring`), by name."""
    found = per_structure(scheme, score_case(truth, labels, len(scheme)).dsc)
    return {name: value for name, value in found.items() if value is not None}


def model_version_of(params: Mapping[str, Any]) -> str:
    """Return the model version that made a pre-segmentation, from the parameters sent with it."""
    return str(params["model_version"])
