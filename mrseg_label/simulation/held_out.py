"""Each model on one fixed set of participants, over the protocol that readers use."""

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
from mrseg_label.simulation.slicer import as_ids, read_image

MOST_CASES = 6


@dataclass(frozen=True)
class HeldOutScore:
    """A model's drafts of the fixed set.

    Attributes
    ----------
    mean_dsc : over cases, of the mean over the structures that are present.
    """

    model_version: str
    cases: int
    mean_dsc: float


def fixed_set(client: SlicerClient, truths: Mapping[str, TruthFile], most: int = MOST_CASES) -> list[str]:
    """One examination of each case of the participants that the server holds out, at most ``most``.

    Raises
    ------
    Unavailable
        The server holds nobody out yet.
    """
    cases = sorted(held_out_examinations(client), key=lambda one: (truths[one].participant, truths[one].station))
    if not cases:
        raise Unavailable("the server holds no participant out yet, so its models cannot be compared on a fixed set")
    return cases[:most]


def score(
    client: SlicerClient,
    examinations: Sequence[str],
    truths: Mapping[str, TruthFile],
    scheme: LabelScheme,
    model_version: str,
    done: Callable[[int], None] | None = None,
) -> HeldOutScore:
    """Ask for drafts of the fixed set and compare them with the truth.

    Raises
    ------
    Conflict
        Another model than ``model_version`` answered.
    """
    values = []
    for count, examination in enumerate(examinations, start=1):
        with tempfile.TemporaryDirectory(prefix="mrseg-held-out-") as folder:
            image = read_image(client.download_image(Sample(examination, f"{examination}.nii.gz", ""), Path(folder)))
            inference = client.infer(MODEL, examination, Path(folder))
            presegmentation = as_ids(read_image(inference.file), inference.names, scheme.label_names, image)
        answered = model_version_of(inference.params)
        if answered != model_version:
            raise Conflict(f"the draft of {examination} is by model {answered} instead of {model_version}")
        truth = truth_on(image, truths[examination].path)
        values.append(float(np.mean(list(dsc_of_present(truth, presegmentation, scheme).values()))))
        if done is not None:
            done(count)
    return HeldOutScore(model_version, len(values), float(np.mean(values)))
