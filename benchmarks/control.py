"""Control experiment: is round 2 better because of its new annotations, or because it was trained longer?

    uv run python -m benchmarks.control --workspace mrseg-demo

Uses the workspace of a finished ``mrseg-label demo``. Repeats the training of round 2 (from the model of round 1, equally
long, with the same seed) on the cases of round 1 alone, and compares both models with the phantom's truth on the cases of
the demo's last batch, on which neither was trained. This is not a benchmark of speed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, models, snapshots
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.metrics import score_case
from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.nnunet.run import TrainingRun
from mrseg_label.nnunet.supervise import train
from mrseg_label.rounds.snapshot import training_cases
from mrseg_label.segments.files import read_label_map


def train_control(workspace: OpenedWorkspace, folder: Path) -> Path:
    """Repeat the training of round 2 on the snapshot of round 1, and return the model folder."""
    with workspace.catalog.read() as session:
        first, second = models.get(session, "r1"), rows.get(session, 2)
    if first is None or first.path is None or second is None:
        raise SystemExit("this workspace does not have two rounds; run mrseg-label demo first")
    copy = folder / "nnunet"
    for made in (copy / "raw", folder / "label-maps"):
        made.mkdir(parents=True)
    cases, _, _ = training_cases(workspace, 1, folder / "label-maps")
    raw = write_raw_dataset(copy / "raw", "Dataset501_round1", cases, workspace.scheme)
    run = TrainingRun(
        folder=folder / "run",
        nnunet=copy,
        dataset=raw.name,
        profile=second.profile,
        model=folder / "model",
        plans_from=workspace.nnunet / "preprocessed" / "Dataset502_round2",
        warm_start=workspace.path(first.path),
    )
    report = train(
        run, lambda progress: print(f"\r{progress.stage} {progress.epoch}/{progress.total_epochs}  ", end="")
    )
    print(f"\ntrained in {report.seconds['training']:.0f} s")
    return folder / "model"


def score(model: Path, cases: list[tuple[Path, Path]], structures: int) -> tuple[float, float]:
    """Compute the mean DSC over the structures that count, and the mean number of wrong voxels per case."""
    predictor = Predictor(model)
    dsc, wrong = [], []
    for image, truth_file in cases:
        prediction = predictor.segment(image)
        truth = read_label_map(truth_file)[0].astype(np.uint8)
        mean = score_case(truth, prediction, structures).mean
        assert mean is not None
        dsc.append(mean)
        wrong.append(int(np.count_nonzero(truth != prediction)))
    return float(np.mean(dsc)), float(np.mean(wrong))


def last_batch(workspace: OpenedWorkspace, truth: Path) -> list[tuple[Path, Path]]:
    """List image and truth of the cases that were annotated after the snapshot of round 2."""
    cases = []
    with workspace.catalog.read() as session:
        in_rounds = {case.acquisition_id for number in (1, 2) for case in rows.cases(session, number)}
        for annotation, participant in snapshots.candidates(session):
            acquisition = acquisitions.get(session, annotation.acquisition_id)
            if annotation.acquisition_id in in_rounds or acquisition is None:
                continue
            image = next(e for e in acquisition.examinations if e.id == acquisition.primary_examination_id)
            cases.append((workspace.path(image.path), truth / participant.code / f"{acquisition.station}.nii.gz"))
    return cases


def main() -> None:
    """Train the control and print the figures of both models as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    arguments = parser.parse_args()
    workspace = open_workspace(arguments.workspace)
    truth = workspace.root.with_name(f"{workspace.root.name}-cohort") / "truth"
    cases = last_batch(workspace, truth)
    with workspace.catalog.read() as session:
        second = models.get(session, "r2")
    if second is None or second.path is None:
        raise SystemExit("round 2 of this workspace registered no model; run mrseg-label demo again")
    structures = len(workspace.scheme)
    with workspace.scratch("control-") as folder:
        control = score(train_control(workspace, folder), cases, structures)
    round_two = score(workspace.path(second.path), cases, structures)
    names = ("mean_dsc", "wrong_voxels_per_case")
    print(
        json.dumps(
            {
                "cases": len(cases),
                "round 2": dict(zip(names, round_two, strict=True)),
                "control": dict(zip(names, control, strict=True)),
            }
        )
    )


if __name__ == "__main__":
    main()
