"""The process of a training: ``python -m mrseg_label.nnunet.train [--with-parent] RUN.json``.

It plans, preprocesses, trains and exports in one process, since importing nnU-Net takes longer than some of these
steps. Started again after it was killed, it resumes from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrseg_label.errors import InvalidInput, MrsegError, OutOfMemory
from mrseg_label.files import write_atomically
from mrseg_label.nnunet import devices
from mrseg_label.nnunet.archive import write_model_folder
from mrseg_label.nnunet.damage import put_aside, read_json, usable_json, why_unreadable
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.dataset_json import without_ignore
from mrseg_label.nnunet.environment import PLANS, available_cores, log
from mrseg_label.nnunet.folds import identity, predict_validation_cases, validation_folder
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.machine import describe_machine, describe_programs
from mrseg_label.nnunet.memory import SPARE_PROCESSES, describe_sparing, is_out_of_memory, spare_plans
from mrseg_label.nnunet.preparation import Preparation, prepare
from mrseg_label.nnunet.profiles import TrainingProfile
from mrseg_label.nnunet.reporting import FoldReporter
from mrseg_label.nnunet.run import ERROR_FILE, TrainingPart, TrainingProgress, TrainingReport, TrainingRun
from mrseg_label.nnunet.stage_clock import StageClock
from mrseg_label.nnunet.warm_start import warm_start
from mrseg_label.processes import end_with_parent

if TYPE_CHECKING:
    import torch


def run_training(run: TrainingRun) -> TrainingReport:
    """Run a training in this process.

    Raises
    ------
    MrsegError
        The data set, the profile or the warm start cannot be used, or another process is training it.
    """
    profile = run.training_profile
    dataset = RawDataset.open(run.folders.raw / run.dataset)
    clock = StageClock()
    # Planning divides its threads by the number of augmentation processes, so there it must not be 0.
    run.folders.activate(SPARE_PROCESSES if run.spare_memory else None, augmentation_processes=1)
    os.environ.update(devices.variables_for(run.device))
    run = replace(run, device=devices.device_inside(run.device))
    # As nnU-Net's own command: more of these processes do not help, and they would share this one's locks.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    TrainingProgress("starting").write(run.folder)
    with clock.stage("import"):
        import torch
        from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as _  # noqa: F401  # timed apart from the stages that use it
    device, warning = devices.find_device(run.device)
    warnings = [] if warning is None else [warning]
    for text in warnings:
        log.warning("%s", text)
    torch.set_num_threads(run.threads or available_cores())
    prepared = Preparation()
    if run.part is not TrainingPart.FOLDS:
        with folder_lock(run.folders.preprocessed / run.dataset):
            prepared = prepare(run, dataset, profile, clock)
    folds: list[_Fold] = []
    configuration, not_validated = run.model, {}
    if run.part is not TrainingPart.PREPARATION:
        folds, configuration = _train_and_export(run, profile, device, clock)
    if run.part is TrainingPart.FOLDS:
        with clock.stage("validating"):
            not_validated = predict_validation_cases(run, configuration)
    report = TrainingReport(
        configuration_folder=configuration,
        plans_reused_from=prepared.plans_from,
        planned_anew=prepared.planned_anew,
        cases_reused=prepared.reused,
        cases_made=prepared.made,
        warm_start=next((fold.warm_start for fold in folds if fold.warm_start is not None), None),
        resumed_at_epoch={fold.number: fold.resumed_at_epoch for fold in folds},
        final_loss={fold.number: fold.final_loss for fold in folds},
        seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
        versions=describe_programs(),
        machines=(describe_machine(device),),
        settings=asdict(profile),
        left_out=prepared.left_out,
        damaged=tuple(text for fold in folds for text in fold.damaged),
        not_validated=not_validated,
        seed=run.seed,
        compiled=bool(folds) and all(fold.compiled for fold in folds),
        warnings=tuple(dict.fromkeys(warnings + [text for fold in folds for text in fold.warnings])),
    )
    report.write(run.folder)
    TrainingProgress("done", folds=() if run.part is TrainingPart.PREPARATION else run.folds).write(run.folder)
    return report


def _train_and_export(
    run: TrainingRun, profile: TrainingProfile, device: torch.device, clock: StageClock
) -> tuple[list[_Fold], Path]:
    """Train the folds one after the other and export them together; returns them and the model's folder."""
    # Short trainings load images in this process; others have processes that load and augment beside it.
    processes = SPARE_PROCESSES if run.spare_memory else None
    augmenting = min(available_cores(), processes or 12)
    run.folders.activate(processes, augmentation_processes=0 if profile.short_schedule else augmenting)
    devices.prepare_torch(device, run.threads)
    folds = [_Fold(run, profile, fold, device) for fold in run.folds]
    with clock.stage("training"):
        for fold in folds:
            fold.train()
    TrainingProgress("exporting", folds=run.folds).write(run.folder)
    with clock.stage("exporting"):
        if (run.model / run.dataset).is_dir():
            shutil.rmtree(run.model)  # of an attempt that was interrupted between export and report
        configuration = write_model_folder(folds[0].configuration_folder, run.model, run.dataset, run.folds)
    return folds, configuration


class _Fold:
    """The training of one fold, from its last checkpoint if it has one."""

    def __init__(self, run: TrainingRun, profile: TrainingProfile, number: int, device: torch.device) -> None:
        self.run, self.profile, self.number, self.device = run, profile, number, device
        self.warm_start: dict[str, Any] | None = None
        self.resumed_at_epoch = 0
        self.final_loss = float("nan")
        self.damaged: list[str] = []
        self.warnings: list[str] = []
        self.compiled = False

    def train(self) -> None:
        """Train to the end; of a fold that is complete already, only the result is read."""
        from mrseg_label.nnunet import trainers
        from mrseg_label.nnunet.compilation import plain_network

        base = self.run.folders.preprocessed / self.run.dataset
        plans = json.loads((base / f"{PLANS}.json").read_text())
        dataset_json = json.loads((base / "dataset.json").read_text())
        if not RawDataset.open(self.run.folders.raw / self.run.dataset).ignores:
            dataset_json = without_ignore(dataset_json)
        splits = json.loads((base / "splits_final.json").read_text())
        if self.number >= len(splits):
            raise InvalidInput(
                f"{self.run.dataset} has no split {self.number}, only {len(splits)}; write the data set with more folds"
            )
        used = spare_plans(plans) if self.run.spare_memory else plans
        trainer = trainers.make_trainer(used, dataset_json, self.number, self.profile, self.device)
        self.configuration_folder = Path(trainer.output_folder_base)
        folder = Path(trainer.output_folder)
        with folder_lock(folder):
            self._remove_foreign_checkpoints(folder, identity(plans, dataset_json, splits[self.number], self.run))
            reporter = FoldReporter(
                self.run.folder, self.number, self.run.folds, self.profile.epochs, self.profile.total_iterations
            )
            trainer.configure(self.profile, partial(reporter.report, trainer), self.run.seed)
            if self.run.spare_memory:
                self.warnings.append(f"trained with {describe_sparing(plans, used)}, since memory did not suffice")
                trainer.probabilistic_oversampling = True  # nnU-Net draws none around a structure in a batch of one
            _seed(self.run.seed, self.number)
            trainer.initialize()
            checkpoint = self._newest_checkpoint(folder, (trainers.FINAL, trainers.LATEST))
            if checkpoint is not None:
                trainer.load_checkpoint(str(checkpoint))
                self.resumed_at_epoch = trainer.current_epoch
            elif self.run.warm_start is not None and self._is_readable(self.run.warm_start):
                network = plain_network(trainer.network)
                state, report = warm_start(
                    network.state_dict(),
                    self.run.warm_start,
                    dataset_json["labels"],
                    self.run.warm_start_heads,
                    plans.get("transpose_forward") or (0, 1, 2),
                )
                network.load_state_dict(state)
                self.warm_start = report.to_json()
                if (warning := report.warning()) is not None:
                    self.warnings.append(warning)
                    log.warning("%s", warning)
            done = trainer.current_epoch * self.profile.iterations_per_epoch
            reporter.report(trainer, trainer.current_epoch, done, None)
            if checkpoint is None or checkpoint.name != trainers.FINAL:
                shutil.rmtree(validation_folder(self.run, self.number), ignore_errors=True)  # of other weights
                trainer.run_training()
            for name, content in (("plans.json", plans), ("dataset.json", dataset_json)):
                # Of a fold that was complete already there may be none, and of a spared one those of its training.
                if self.run.spare_memory or usable_json(self.configuration_folder / name) is None:
                    write_atomically(self.configuration_folder / name, json.dumps(content, indent=1).encode())
            self.compiled = trainer.is_compiled
            if trainer.not_compiled is not None:
                self.warnings.append(
                    f"torch did not compile the network, so an epoch takes longer: {trainer.not_compiled}"
                )
            self.final_loss = float(trainer.logger.get_value("train_losses", step=-1))

    def _newest_checkpoint(self, folder: Path, names: Sequence[str]) -> Path | None:
        """The first of these checkpoints that can be read; damaged ones are put aside."""
        for path in (folder / name for name in names):
            if path.exists():
                if (reason := why_unreadable(path)) is None:
                    return path
                self.damaged.append(f"{path.name} of fold {self.number} was damaged and is put aside: {reason}")
                put_aside(path, reason)
        return None

    def _is_readable(self, source: Path) -> bool:
        """Whether the model to start from can be read; otherwise the training starts from random weights."""
        files = [path for name in ("plans.json", "dataset.json", "checkpoint_final.pth") for path in source.rglob(name)]
        for path in files:
            if path.suffix == ".json":
                reason = None if isinstance(read_json(path), dict) else "it holds no JSON object"
            else:
                reason = why_unreadable(path)
            if reason is not None:
                self.damaged.append(f"the training started from random weights: {path} cannot be read ({reason})")
                log.warning("%s", self.damaged[-1])
                return False
        return True

    def _remove_foreign_checkpoints(self, folder: Path, digest: str) -> None:
        """Remove checkpoints of a training with other plans, cases or settings, which cannot be resumed."""
        note = folder / "training.sha256"
        if not note.exists() or note.read_text() != digest:
            for checkpoint in folder.glob("checkpoint_*"):
                checkpoint.unlink()
            write_atomically(note, digest.encode())


def _seed(seed: int, fold: int) -> None:
    import torch

    torch.manual_seed(seed * 100_003 + fold)


def _short(message: str) -> str:
    """Cut a long message of torch; the log has all of it."""
    return message if len(message) <= 500 else f"{message[:500]}..."


def main() -> int:
    """Run one training; exit code 0, or 1 with ``error.json`` in the run's folder."""
    parser = argparse.ArgumentParser(description="Run the training that RUN.json describes")
    parser.add_argument("run", type=Path, metavar="RUN.json")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    if arguments.with_parent:
        end_with_parent()
    run = TrainingRun.read(arguments.run)
    try:
        run_training(run)
    except MrsegError as error:
        reported = {"type": type(error).__name__, "message": str(error)}
    except Exception as error:  # noqa: BLE001 - the parent reports whatever it is
        kind = OutOfMemory if is_out_of_memory(error) else MrsegError
        reported = {"type": kind.__name__, "message": _short(f"the training failed: {type(error).__name__}: {error}")}
        traceback.print_exc()
    else:
        return 0
    print(reported["message"], file=sys.stderr)
    write_atomically(run.folder / ERROR_FILE, json.dumps(reported).encode())
    return 1


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # everything is written, and a regular end of torch takes seconds
