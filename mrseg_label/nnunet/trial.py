"""Try a model once: ``python -m mrseg_label.nnunet.trial --with-parent MODEL DEVICE REPORT.json [IMAGE]``.

It loads the network as a draft does and predicts on a piece of an image that is as large as one patch. A process of
its own does it, since loading imports torch and a foreign checkpoint may bring the process down.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.files import write_atomically
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.nnunet.devices import device_inside, variables_for
from mrseg_label.nnunet.supervise import SupervisedProcess
from mrseg_label.processes import end_with_parent

MAX_SECONDS = 1800.0
_POLL_SECONDS = 0.5
_SYNTHETIC_SPACING_MM = 3.0
log = logging.getLogger("mrseg_label.nnunet")


@dataclass(frozen=True)
class TrialReport:
    """How a trial ended.

    Attributes
    ----------
    problem : why the model cannot make drafts here; None if it can.
    """

    problem: str | None
    seconds: float = 0.0


def try_model(
    model: Path, image: Path | None, device: str, folder: Path, check: Callable[[], None] = lambda: None
) -> TrialReport:
    """Try a model in a process of its own, and wait for the end.

    Parameters
    ----------
    model : folder with ``plans.json``.
    image : an image to predict on; a synthetic one if None.
    folder : where the report and the log are written.
    check : called meanwhile; what it raises ends the trial.
    """
    report, output = folder / "trial.json", folder / "trial.log"
    command = [sys.executable, "-m", __name__, "--with-parent", str(model), device_inside(device), str(report)]
    process = SupervisedProcess([*command, *([str(image)] if image is not None else [])], output, variables_for(device))
    deadline = time.monotonic() + MAX_SECONDS
    try:
        while (code := process.wait(_POLL_SECONDS)) is None and time.monotonic() < deadline:
            check()
    finally:
        process.kill()
    if code is None:
        return TrialReport(f"a prediction on one patch takes more than {MAX_SECONDS / 60:.0f} minutes on {device}")
    try:
        return TrialReport(**json.loads(report.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        last = (output.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
        how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
        return TrialReport(f"the process that tried it {how}, perhaps for lack of memory: {last[:300]}")


def run_trial(model: Path, image: Path | None, device: str) -> TrialReport:
    """Try a model in this process. Imports torch and nnU-Net."""
    started = time.monotonic()
    stage = "its files cannot be loaded"
    try:
        _check_files(model)
        from mrseg_label.nnunet.predict import Predictor

        predictor = Predictor(model, device)
        stage = "its weights cannot be used"
        predictor.check_weights()
        stage = "a prediction failed"
        array, geometry = _piece(image, predictor.patch_mm)
        mask = predictor.segment_array(array, geometry)
        highest = max(predictor.labels.values())
        if mask.max() > highest:
            return TrialReport(f"it predicts the label {mask.max()}, but its labels end at {highest}")
    except MrsegError as error:
        return TrialReport(str(error))
    except Exception as error:
        log.exception("the trial failed")
        text = " ".join(str(error).split())
        return TrialReport(f"{stage}: {type(error).__name__}: {text[:600]}")
    return TrialReport(None, round(time.monotonic() - started, 2))


def _check_files(model: Path) -> None:
    """Check what can be checked without torch, whose import takes seconds."""
    ModelConventions.read(model)
    for file in sorted(model.glob("fold_*/checkpoint_final.pth")):
        with file.open("rb") as stream:
            beginning = stream.read(2)
        if beginning not in (b"PK", b"\x80\x02"):  # a zip archive, or a pickle of PyTorch before 1.6
            raise InvalidInput(
                f"its files cannot be loaded: {file.parent.name}/{file.name} is not a checkpoint of PyTorch"
            )


def _piece(image: Path | None, extent_mm: float) -> tuple[NDArray[Any], Geometry]:
    """Cut a piece of this extent from the middle of an image, or make one."""
    if image is None:
        size = max(8, round(extent_mm / _SYNTHETIC_SPACING_MM))
        noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(size,) * 3), 2)
        spacing = (_SYNTHETIC_SPACING_MM,) * 3
        return (500 + 100 * noise / noise.std()).astype(np.int16), Geometry((size,) * 3, np.diag((*spacing, 1.0)))
    array, geometry, _ = load_image(image)
    kept = [min(n, max(8, round(extent_mm / mm))) for n, mm in zip(array.shape, geometry.spacing_mm, strict=True)]
    first = [(n - k) // 2 for n, k in zip(array.shape, kept, strict=True)]
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    x, y, z = (slice(start, start + count) for start, count in zip(first, kept, strict=True))
    return array[x, y, z], Geometry((kept[0], kept[1], kept[2]), affine)


def main() -> None:
    """Parse the arguments, try the model, write the report."""
    parser = argparse.ArgumentParser(description="Try a model once")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    parser.add_argument("model", type=Path)
    parser.add_argument("device")
    parser.add_argument("report", type=Path)
    parser.add_argument("image", type=Path, nargs="?")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if arguments.with_parent:
        end_with_parent()
    report = run_trial(arguments.model, arguments.image, arguments.device)
    write_atomically(arguments.report, json.dumps(asdict(report)).encode())


if __name__ == "__main__":
    main()
