"""What a demo has done so far, in its workspace: a demo that was stopped goes on there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.errors import ConfigurationError
from mrseg_label.files import write_durably
from mrseg_label.simulation.radiologist import CaseResult, TruthFile
from mrseg_label.simulation.rounds import FinishedRound

FILE = "demo.json"


@dataclass
class DemoProgress:
    """The progress of a demo, written after every step.

    Attributes
    ----------
    options : those that decide what is done, which must be the same when it goes on.
    truths : truth by examination id; empty until the cohort is imported.
    batch : cases of the present batch that were corrected; their images are not kept.
    model : the round that made the present model.
    held_out : the fixed set of examinations.
    rows, cases : of the report.
    pictures : file names by what they show.
    seconds : that were spent before this start.
    finished : whether the report is written.
    """

    options: dict[str, Any]
    truths: dict[str, TruthFile] = field(default_factory=dict)
    batch: list[CaseResult] = field(default_factory=list)
    batch_seconds: float = 0.0
    model: FinishedRound = field(default_factory=lambda: FinishedRound(0, BOOTSTRAP, True, 0.0))
    current_version: str = BOOTSTRAP
    held_out: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    def save(self, workspace: Path) -> None:
        """Write the progress durably."""
        content = asdict_without_views(self)
        write_durably(workspace / FILE, (json.dumps(content, indent=1) + "\n").encode())


def asdict_without_views(progress: DemoProgress) -> dict[str, Any]:
    """Represent progress as JSON does; the images of cases are left out."""
    content = {key: value for key, value in vars(progress).items() if key not in ("truths", "batch", "model")}
    content["truths"] = {name: asdict(truth) | {"path": str(truth.path)} for name, truth in progress.truths.items()}
    content["batch"] = [{key: value for key, value in vars(case).items() if key != "view"} for case in progress.batch]
    content["model"] = asdict(progress.model)
    return content


def read_progress(workspace: Path) -> DemoProgress | None:
    """Read the progress of the demo in a workspace; None where none was begun.

    Raises
    ------
    ConfigurationError
        The file is damaged.
    """
    file = workspace / FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["truths"] = {name: _truth(entry) for name, entry in content["truths"].items()}
        content["batch"] = [_case(entry) for entry in content["batch"]]
        content["model"] = FinishedRound(**content["model"])
        return DemoProgress(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} is damaged ({error}); choose another --workspace") from error


def begin(workspace: Path, cohort: Path, options: Mapping[str, Any]) -> DemoProgress | None:
    """Find the demo to go on with; None for a new one, whose folders must be new or empty.

    One that was stopped before its cohort was imported has nothing worth keeping, and begins again.

    Raises
    ------
    ConfigurationError
        The demo there has finished or has other options, or other files are in the way.
    """
    found = read_progress(workspace)
    if found is None:
        if cohort.exists() and any(cohort.iterdir()):
            raise ConfigurationError(
                f"{cohort} is not empty, but the demo writes its cohort there; remove it or choose another --workspace"
            )
        return None
    if found.finished:
        raise ConfigurationError(
            f"the demo in {workspace} has finished; its report is in {workspace / 'reports'}. For another one choose "
            "another --workspace"
        )
    if found.options != options:
        before = ", ".join(f"{name} {value}" for name, value in found.options.items() if options.get(name) != value)
        raise ConfigurationError(
            f"the demo in {workspace} was begun with {before}; go on with the same, or choose another --workspace"
        )
    if not found.truths:
        shutil.rmtree(cohort, ignore_errors=True)
        shutil.rmtree(workspace)
        return None
    return found


def _truth(entry: Mapping[str, Any]) -> TruthFile:
    return TruthFile(**{**entry, "path": Path(entry["path"])})


def _case(entry: Mapping[str, Any]) -> CaseResult:
    return CaseResult(**{**entry, "partly": tuple(entry["partly"]), "missed": tuple(entry["missed"])}, view=None)
