"""The comparison of sources: what is tried, and that it gives way to a round."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.errors import Unavailable
from mrseg_label.simulation.sources import SEQUENCES, Comparison, Trial, _run, make_trials


def test_it_stops_between_segmentations_and_goes_on() -> None:
    may_work = threading.Event()
    results = io.StringIO()
    begun: list[int] = []

    def measurements():  # type: ignore[no-untyped-def]
        for number in range(3):
            begun.append(number)
            yield {"number": number}

    worker = threading.Thread(target=_run, args=(measurements(), results, may_work), daemon=True)
    worker.start()
    worker.join(0.2)
    assert begun == []
    may_work.set()
    worker.join(10)
    assert [json.loads(line)["number"] for line in results.getvalue().splitlines()] == [0, 1, 2]


def test_one_acquisition_is_made_in_every_sequence_on_one_grid(tmp_path: Path) -> None:
    trials = make_trials(tmp_path, 3, 1)
    assert [trial.sequence for trial in trials] == list(SEQUENCES)
    assert len({trial.truth for trial in trials}) == 1
    grids = {(image.GetSize(), image.GetOrigin()) for image in (sitk.ReadImage(trial.image) for trial in trials)}
    assert len(grids) == 1
    images = [sitk.GetArrayFromImage(sitk.ReadImage(trial.image)) for trial in trials]
    assert not any(np.array_equal(images[0], other) for other in images[1:])


def test_a_child_that_fails_is_told_with_its_log(tmp_path: Path) -> None:
    trial = Trial("in", str(tmp_path / "no-such-image.nii.gz"), str(tmp_path / "no-such-truth.nii.gz"))
    with Comparison(tmp_path, [trial], tmp_path / "no-weights", "cpu") as comparison:
        comparison.pause()
        comparison.resume()
        with pytest.raises(Unavailable, match="0 of 3"):
            comparison.scores()
