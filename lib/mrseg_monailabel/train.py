"""The trainer ``mrseg``: tells how a round goes, and lets nobody start or stop one from Slicer.

"Auto update model" sends, after every submission, a stop and a start of the training: taken literally it
would kill each round. Rounds start by themselves after ROUND_SIZE cases, or by an admin.
"""

from __future__ import annotations

import math
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, rounds
from mrseg_label.catalog.types import RoundState
from mrseg_label.clock import iso
from mrseg_label.config import load_settings

STATUS = {RoundState.DONE: "DONE", RoundState.FAILED: "ERROR", RoundState.CANCELLED: "ERROR"}


class RoundTrainer(TrainTask):
    """Retraining rounds as MONAI Label's training."""

    def __init__(self, name: str, workspace: OpenedWorkspace) -> None:
        super().__init__("retraining rounds; they start by themselves and are not started or stopped from here")
        self.name = name
        self._workspace = workspace
        self._catalog = workspace.catalog

    def stats(self) -> dict[str, Any]:
        """Epochs of the newest round and the current model's score, for Slicer's two bars."""
        with self._catalog.read() as session:
            newest = rounds.newest(session)
            current = models.current(session)
            moment = self._catalog.now(session)
        progress = newest.progress if newest else {}
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
                stats["total_time"] = str((newest.finished_at or moment) - newest.started_at).split(".")[0]
        return stats

    def running(self) -> bool:
        """Whether a round waits or runs."""
        with self._catalog.read() as session:
            return rounds.active(session) is not None

    def status(self) -> dict[str, Any]:
        """The newest round in the form of a MONAI Label task."""
        with self._catalog.read() as session:
            newest = rounds.newest(session)
            annotated = acquisitions.annotated_since_round(session)
        settings = load_settings(self._workspace.root)
        text = f"{annotated} of {settings.round_size} cases annotated for the next round"
        if newest is None:
            return {
                "id": "",
                "model": self.name,
                "status": "PENDING",
                "start_ts": "",
                "end_ts": "",
                "result": text,
                "details": [text],
            }
        words = f"round {newest.number} is {newest.state}"
        if newest.state is RoundState.TRAINING and newest.progress.get("epochs"):
            words += f" (epoch {newest.progress.get('epoch')} of {newest.progress['epochs']})"
        return {
            "id": str(newest.number),
            "model": self.name,
            "status": STATUS.get(newest.state, "RUNNING"),
            "start_ts": iso(newest.started_at) or "",
            "end_ts": iso(newest.finished_at) or "",
            "result": f"{words}; {text}",
            "details": [words, text],
        }

    def __call__(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Start nothing; say how it stands and how a round is started."""
        return self._status_with_advice(
            "a round starts by itself, or an admin starts one with: mrseg-label rounds start"
        )

    def stop(self) -> dict[str, Any]:
        """Stop nothing; say how it stands and how a round is cancelled."""
        return self._status_with_advice(
            "a round is not stopped from Slicer; an admin cancels one with: mrseg-label rounds cancel N"
        )

    def _status_with_advice(self, advice: str) -> dict[str, Any]:
        status = self.status()
        status["details"] = [*status["details"], advice]
        status["result"] = f"{status['result']}; {advice}"
        return status


def _as_int(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0
