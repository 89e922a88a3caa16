"""Evaluate each model on one fixed set of held-out cases, through the protocol that readers use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrseg_label.errors import Conflict, Unavailable
from mrseg_label.labels import LabelScheme
from mrseg_label.simulation.client import Sample, SlicerClient
from mrseg_label.simulation.radiologist import MODEL, TruthFile, dsc_of_present, model_version_of, truth_on
from mrseg_label.simulation.rounds import held_out_examinations
from mrseg_label.simulation.slicer import read_image, to_label_ids

MAX_CASES = 6


@dataclass(frozen=True)
class HeldOutScore:
    """The quality of a model's pre-segmentations of the fixed set.

    Attributes
    ----------
    cases : number of cases.
    mean_dsc : mean over the cases of the mean DSC over the structures that are present.
    """

    model_version: str
    cases: int
    mean_dsc: float


def choose_fixed_set(client: SlicerClient, truths: Mapping[str, TruthFile], max_cases: int = MAX_CASES) -> list[str]:
    """Choose one examination of each case of held-out participants, at most ``max_cases``.

    Raises
    ------
    Unavailable
        No participant is held out yet.
    """
    cases = sorted(held_out_examinations(client), key=lambda one: (truths[one].participant, truths[one].station))
    if not cases:
        raise Unavailable("no participant is held out yet, so the models cannot be compared on a fixed set")
    return cases[:max_cases]


def score_model(
    client: SlicerClient,
    examinations: Sequence[str],
    truths: Mapping[str, TruthFile],
    scheme: LabelScheme,
    model_version: str,
    progress: Callable[[int], None] | None = None,
) -> HeldOutScore:
    """Request pre-segmentations of the fixed set and compare them with the truth.

    Parameters
    ----------
    progress : called with the number of cases done.

    Raises
    ------
    Conflict
        A pre-segmentation was made by another model than ``model_version``.
    """
    values = []
    for count, examination in enumerate(examinations, start=1):
        with tempfile.TemporaryDirectory(prefix="mrseg-held-out-") as folder:
            image = read_image(client.download_image(Sample(examination, f"{examination}.nii.gz", ""), Path(folder)))
            inference = client.infer(MODEL, examination, Path(folder))
            presegmentation = to_label_ids(read_image(inference.file), inference.names, scheme.label_names, image)
        made_by = model_version_of(inference.params)
        if made_by != model_version:
            raise Conflict(f"the pre-segmentation of {examination} was made by {made_by} instead of {model_version}")
        truth = truth_on(image, truths[examination].path)
        values.append(float(np.mean(list(dsc_of_present(truth, presegmentation, scheme).values()))))
        if progress is not None:
            progress(count)
    return HeldOutScore(model_version, len(values), float(np.mean(values)))
