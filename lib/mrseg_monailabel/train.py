"""The trainer ``mrseg``: shows the progress of a round; nobody can start or stop one from Slicer.

"Auto update model" sends, after every submission, a stop and a start of the training: taken literally it
would end every round. Rounds start automatically after ROUND_SIZE cases, or an admin starts them.
"""

from __future__ import annotations

import math
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import RoundState
from mrseg_label.clock import iso, now
from mrseg_label.reports.models import read_current_model
from mrseg_label.reports.progress import read_progress_to_round
from mrseg_label.reports.rounds import is_round_active, read_newest_round, read_progress_of_newest
from mrseg_monailabel.params import reader_of

STATUS = {RoundState.DONE: "DONE", RoundState.FAILED: "ERROR", RoundState.CANCELLED: "ERROR"}


class RoundTrainer(TrainTask):
    """Retraining rounds as MONAI Label's training."""

    def __init__(self, name: str, workspace: OpenedWorkspace) -> None:
        super().__init__("retraining rounds; they start automatically and are not started or stopped from Slicer")
        self.name = name
        self._workspace = workspace

    def stats(self) -> dict[str, Any]:
        """Return the epochs of the newest round and the current model's score, for Slicer's two bars."""
        newest = read_progress_of_newest(self._workspace.catalog)
        current = read_current_model(self._workspace.catalog)
        progress = (newest.progress or {}) if newest else {}
        score = current.metrics.get("mean_dsc")
        stats: dict[str, Any] = {
            "epoch": _as_int(progress.get("epoch")),
            "total_epochs": _as_int(progress.get("epochs")),
            "best_metric": round(score, 4) if isinstance(score, float) and math.isfinite(score) else 0.0,
            "total_time": "0:00:00",
            "model_version": current.version,
        }
        if newest is not None:
            stats |= {"round": newest.number, "state": str(newest.state)}
            if newest.started_at is not None:
                stats["total_time"] = str((newest.finished_at or now()) - newest.started_at).split(".")[0]
        return stats

    def running(self) -> bool:
        """Return whether a round is queued or running."""
        return is_round_active(self._workspace.catalog)

    def status(self, reader: Reader | None = None) -> dict[str, Any]:
        """Return the newest round in the form of a MONAI Label task, with the counts that a reader may know."""
        newest = read_newest_round(self._workspace.catalog)
        annotated, needed = read_progress_to_round(self._workspace, reader)
        to_next = f"{annotated} of {needed} cases annotated for the next round"
        if newest is None:
            return {
                "id": "",
                "model": self.name,
                "status": "PENDING",
                "start_ts": "",
                "end_ts": "",
                "result": to_next,
                "details": [to_next],
            }
        state = f"round {newest.number} is {newest.state}"
        if newest.state is RoundState.TRAINING and newest.progress.get("epochs"):
            state += f" (epoch {newest.progress.get('epoch')} of {newest.progress['epochs']})"
        return {
            "id": str(newest.number),
            "model": self.name,
            "status": STATUS.get(newest.state, "RUNNING"),
            "start_ts": iso(newest.started) or "",
            "end_ts": iso(newest.finished) or "",
            "result": f"{state}; {to_next}",
            "details": [state, to_next],
        }

    def __call__(self, request: dict[str, Any], _datastore: Any = None) -> dict[str, Any]:
        """Return the status, and how a round is started; nothing is started."""
        return self._status_with_advice(
            "rounds start automatically, or an admin starts one with: mrseg-label rounds start", reader_of(request)
        )

    def stop(self, reader: Reader | None = None) -> dict[str, Any]:
        """Return the status, and how a round is cancelled; nothing is stopped."""
        return self._status_with_advice(
            "rounds cannot be stopped from Slicer; an admin cancels one with: mrseg-label rounds cancel N", reader
        )

    def _status_with_advice(self, advice: str, reader: Reader | None) -> dict[str, Any]:
        status = self.status(reader)
        status["details"] = [*status["details"], advice]
        status["result"] = f"{status['result']}; {advice}"
        return status


def _as_int(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0
