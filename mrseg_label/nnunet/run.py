"""The files of a training run: its parameters, its progress, and its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrseg_label.errors import InvalidInput
from mrseg_label.files import write_atomically
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.profiles import NetworkShape, TrainingProfile, profile_named

RUN_FILE, PROGRESS_FILE, REPORT_FILE, ERROR_FILE, LOG_FILE = (
    "run.json",
    "progress.json",
    "report.json",
    "error.json",
    "training.log",
)


class TrainingPart(StrEnum):
    """What a process does of a training."""

    ALL = "all"
    PREPARATION = "preparation"  # plan and preprocess, for folds that other processes train
    FOLDS = "folds"  # train and export these folds, and predict the cases that they have not seen


@dataclass(frozen=True)
class TrainingRun:
    """The parameters of a training: plan, preprocess, train and export one data set, in one process.

    Starting the same run again resumes it where it was interrupted.

    Attributes
    ----------
    folder : folder of the run, for run.json, progress.json, report.json or error.json, and training.log. The next
        attempt may use another one; what is resumed lies in nnU-Net's folders.
    nnunet : folder with nnU-Net's raw, preprocessed and results.
    dataset : name of a data set in ``raw``.
    profile : name of a :class:`mrseg_label.nnunet.profiles.TrainingProfile`.
    model : folder to write the model to (``<model>/DatasetNNN_.../...``); must not exist.
    folds : numbers of the splits to train.
    part : what this process does of it.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : number of torch's threads; by default one for each core on the CPU, and one beside a GPU.
    seed : of the initial weights and of the patches.
    plans_from : preprocessed folder of an earlier data set, whose plans are reused if the profile is the same.
    warm_start : model folder to take initial weights from.
    warm_start_heads : classes of that model for each of our label ids; by default those of the same name.
    changes : values of the profile to replace in this run, for example ``{"epochs": 60}``.
    stall_minutes : minutes without progress after which the training is ended.
    spare_memory : train with smaller batches and fewer processes, after memory was exhausted.
    """

    folder: Path
    nnunet: Path
    dataset: str
    profile: str
    model: Path
    folds: tuple[int, ...] = (0,)
    part: TrainingPart = TrainingPart.ALL
    device: str = "auto"
    threads: int | None = None
    seed: int = 0
    plans_from: Path | None = None
    warm_start: Path | None = None
    warm_start_heads: Mapping[int, tuple[int, ...]] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    stall_minutes: float = 30.0
    spare_memory: bool = False

    @property
    def training_profile(self) -> TrainingProfile:
        """The profile with the changes of this run."""
        changes = dict(self.changes)
        if isinstance(shape := changes.get("network"), Mapping):  # as JSON has it
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in shape.items()}
            changes["network"] = NetworkShape(**values)
        return replace(profile_named(self.profile), **changes)

    @property
    def folders(self) -> NnunetFolders:
        """nnU-Net's three folders."""
        return NnunetFolders.under(self.nnunet)

    def write(self) -> Path:
        """Write ``run.json``, remove what an earlier attempt reported in this folder, and return the path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (PROGRESS_FILE, REPORT_FILE, ERROR_FILE):
            (self.folder / name).unlink(missing_ok=True)
        values = {
            **self.__dict__,
            "folds": list(self.folds),
            "warm_start_heads": None
            if self.warm_start_heads is None
            else {str(k): list(v) for k, v in self.warm_start_heads.items()},
        }
        for key, value in values.items():
            if isinstance(value, Path):
                values[key] = str(value.absolute())
        path = self.folder / RUN_FILE
        write_atomically(path, json.dumps(values, indent=1).encode())
        return path

    @classmethod
    def read(cls, path: Path) -> TrainingRun:
        """Read a ``run.json``.

        Raises
        ------
        InvalidInput
            The file cannot be read, or its keys are not those of a run.
        """
        try:
            values = json.loads(path.read_text())
            for key in ("folder", "nnunet", "model", "plans_from", "warm_start"):
                values[key] = None if values[key] is None else Path(values[key])
            values["folds"] = tuple(values["folds"])
            values["part"] = TrainingPart(values["part"])
            if values["warm_start_heads"] is not None:
                values["warm_start_heads"] = {int(k): tuple(v) for k, v in values["warm_start_heads"].items()}
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path} is not a training run: {error!r}") from error


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a training.

    Attributes
    ----------
    stage : ``starting``, ``planning``, ``preprocessing``, ``training``, ``exporting``, ``validating`` or ``done``.
    fold : number of the split that is being trained; None in the other stages.
    folds : numbers of all splits of the run.
    epoch, total_epochs, iteration, total_iterations : of that fold; in preprocessing and validation, an iteration is a
        case.
    loss : latest training loss.
    pseudo_dice : nnU-Net's moving average over epochs of the DSC of validation patches; None before the first epoch.
    learning_rate : of the latest iteration.
    seconds_left : estimated time until all folds of the run are trained.
    beat : differs from report to report, so that a training at work can be told from one that hangs.
    """

    stage: str
    fold: int | None = None
    folds: tuple[int, ...] = ()
    epoch: int = 0
    total_epochs: int = 0
    iteration: int = 0
    total_iterations: int = 0
    loss: float | None = None
    pseudo_dice: float | None = None
    learning_rate: float | None = None
    seconds_left: float | None = None
    beat: int = 0

    @property
    def fraction(self) -> float:
        """Fraction of the training that is done, 0 to 1."""
        if self.stage in ("exporting", "validating", "done"):
            return 1.0
        if self.stage != "training" or not self.total_iterations or self.fold is None or not self.folds:
            return 0.0
        return (self.folds.index(self.fold) + self.iteration / self.total_iterations) / len(self.folds)

    def write(self, folder: Path) -> None:
        """Replace ``progress.json``."""
        values = {**self.__dict__, "folds": list(self.folds)}
        write_atomically(folder / PROGRESS_FILE, json.dumps(values).encode())

    @classmethod
    def read(cls, folder: Path) -> TrainingProgress:
        """Read the progress of a run; ``starting`` as long as it has reported none."""
        try:
            values = json.loads((folder / PROGRESS_FILE).read_text())
        except (OSError, ValueError):
            return cls("starting")
        return cls(**{**values, "folds": tuple(values["folds"])})


@dataclass(frozen=True)
class TrainingReport:
    """The result of a training.

    Attributes
    ----------
    configuration_folder : folder of the model with plans.json, dataset.json and fold_*; of a preparation,
        which makes none, the folder that is for it.
    plans_reused_from : data set whose plans were reused, or None.
    cases_reused, cases_made : number of preprocessed cases that were reused and that were made for this data set.
    warm_start : see :class:`mrseg_label.nnunet.warm_start.WarmStartReport`; None without a warm start, or if the
        training was resumed.
    resumed_at_epoch : by fold; 0 if it started in this run.
    final_loss : by fold; mean training loss of the last epoch.
    planned_anew : why the plans of an earlier round were not reused (:mod:`mrseg_label.nnunet.drift`), or None.
    left_out : reasons by case id, for cases that could not be preprocessed.
    seed : of the run.
    compiled : whether torch compiled the network.
    warnings : what an administrator should know: a CPU in the place of a GPU, a warm start that copied little or
        nothing, a network that could not be compiled, smaller settings where memory was exhausted.
    damaged : checkpoints and weights that could not be read, with what was done instead.
    not_validated : reasons by case id, for validation cases that could not be predicted.
    seconds, cpu_seconds : wall-clock and CPU time of each stage.
    versions, machines : see :mod:`mrseg_label.nnunet.machine`; folds may be trained on several machines.
    settings : the values of the training profile, with the changes of this run.
    """

    configuration_folder: Path
    plans_reused_from: str | None
    cases_reused: int
    cases_made: int
    warm_start: dict[str, Any] | None
    resumed_at_epoch: dict[int, int]
    final_loss: dict[int, float]
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    versions: dict[str, str] = field(default_factory=dict)
    planned_anew: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    not_validated: dict[str, str] = field(default_factory=dict)
    machines: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    compiled: bool = False
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON."""
        values = {**self.__dict__, "configuration_folder": str(self.configuration_folder)}
        content: dict[str, Any] = json.loads(json.dumps(values))
        return content

    def write(self, folder: Path) -> None:
        """Write ``report.json``."""
        write_atomically(folder / REPORT_FILE, json.dumps(self.to_json(), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> TrainingReport:
        """Read ``report.json``.

        Raises
        ------
        InvalidInput
            The file is missing or cannot be read.
        """
        try:
            return cls.from_json(json.loads((folder / REPORT_FILE).read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{folder / REPORT_FILE} is not the report of a training: {error!r}") from error

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingReport:
        """Make a report from the values of :meth:`to_json`."""
        values = dict(content)
        for key in ("resumed_at_epoch", "final_loss"):
            values[key] = {int(fold): value for fold, value in values[key].items()}
        values |= {
            "configuration_folder": Path(values["configuration_folder"]),
            "damaged": tuple(values["damaged"]),
            "warnings": tuple(values["warnings"]),
            "machines": tuple(values["machines"]),
        }
        return cls(**values)
