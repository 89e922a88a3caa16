"""The app object: what the routes call, and what MONAI Label's own app class becomes in :mod:`mrseg_monailabel.app`.

It imports MONAI Label's interfaces, not its app class: that one brings torch, ITK, DICOM clients and cloud
sessions, a gigabyte of memory and fifteen seconds at every start, for methods that are replaced here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import mrseg_label
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.errors import NotFound
from mrseg_label.http.event_streams import EventStreams
from mrseg_label.reports.blinding import hides_cases
from mrseg_label.reports.reviewing import read_sent_back
from mrseg_monailabel.datastore import MRSegDatastore
from mrseg_monailabel.descriptions import ORIGINAL, describe_sent_back, describe_sources, describe_weights
from mrseg_monailabel.infer import MRSegInfer
from mrseg_monailabel.params import reader_of
from mrseg_monailabel.sessions import SessionStore
from mrseg_monailabel.strategies import DESCRIPTIONS, WorklistStrategy
from mrseg_monailabel.train import RoundTrainer

MODEL = "mrseg"  # of the infer model and of the trainer
NAME = "mrseg-label"
SENT_BACK_SHOWN = 5  # rejected annotations of a reader in the model's description
_Task = TypeVar("_Task")


class ProtocolApp:
    """Datastore, infer task, trainer and strategies of one workspace, with the methods of a MONAI Label app."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self.workspace = workspace
        self.name = NAME
        self.version = mrseg_label.__version__
        self.labels = workspace.scheme.shown_names
        self._datastore = self.init_datastore()
        self._infers = self.init_infers()
        self._trainers = self.init_trainers()
        self._strategies = self.init_strategies()
        self._sessions = SessionStore(workspace)
        self.streams = EventStreams(workspace.catalog, blinds_readers=workspace.settings.blinds_readers)
        settings = workspace.settings
        self.sign_in = (
            SignIn(workspace.catalog, settings.token_hours, settings.app_password_days)
            if settings.auth == "on"
            else None
        )

    def init_datastore(self) -> MRSegDatastore:
        """Make the datastore over the catalogue."""
        return MRSegDatastore(self.workspace)

    def init_infers(self) -> dict[str, MRSegInfer]:
        """Make the one infer task, which gives the newest model's pre-segmentations."""
        return {MODEL: MRSegInfer(self.workspace, self._datastore)}

    def init_trainers(self) -> dict[str, RoundTrainer]:
        """Make the one trainer, which stands for the rounds."""
        return {MODEL: RoundTrainer(MODEL, self.workspace)}

    def init_strategies(self) -> dict[str, WorklistStrategy]:
        """Make the worklist's strategies; Slicer preselects the first."""
        return {name: WorklistStrategy(name, self.workspace) for name in DESCRIPTIONS}

    def datastore(self) -> MRSegDatastore:
        """Return the datastore."""
        return self._datastore

    def sessions(self) -> SessionStore:
        """Return the store of sessions: images that a client sends to be segmented and not kept."""
        return self._sessions

    def trainer(self) -> RoundTrainer:
        """Return the one trainer."""
        return self._trainers[MODEL]

    def stop_waiting(self) -> None:
        """End streams of events and answer requests that wait for a pre-segmentation: the server is about to end."""
        self.streams.close()
        for task in self._infers.values():
            task.stopping.set()

    def info(self, reader: Reader | None = None) -> dict[str, Any]:
        """Return what Slicer asks for when it connects and after every submission.

        The model's description, which Slicer shows beside the model, also tells a reader what was sent back to them.
        """
        reader = reader or Reader()
        models = {name: task.info() for name, task in self._infers.items()}
        version = models[MODEL]["version"]
        weights = describe_weights(self.workspace, version)
        models[MODEL]["description"] += f" ({weights})"
        models[MODEL]["weights"] = weights
        models[MODEL]["sources"] = describe_sources(self.workspace)
        sent_back = read_sent_back(self.workspace.catalog, reader.account, SENT_BACK_SHOWN)
        models[MODEL]["description"] += describe_sent_back(
            sent_back,
            with_author=reader.account is None,
            hides_cases=bool(sent_back) and hides_cases(self.workspace, reader),
        )
        made_by = "" if self.workspace.settings.presegmentation == "off" else f"model version {version}; "
        return {
            "name": self.name,
            "description": f"whole-body MR segmentation; {made_by}{weights}",
            "version": self.version,
            "labels": self.labels,
            "models": models,
            "trainers": {name: task.info() for name, task in self._trainers.items()},
            "strategies": {name: task.info() for name, task in self._strategies.items()},
            "scoring": {},
            "train_stats": {name: task.stats() for name, task in self._trainers.items()},
            "datastore": self._datastore.status(reader),
        }

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Assign the next case by ``request["strategy"]``; empty when none is left.

        Raises
        ------
        NotFound
            There is no such strategy.
        """
        strategy = _find(self._strategies, "strategy", request.get("strategy"))
        return strategy(request, self._datastore)

    def infer(self, request: dict[str, Any], _datastore: Any = None) -> dict[str, Any]:
        """Write the mask of ``request["image"]`` to a file of its own in ``request["folder"]``.

        Raises
        ------
        NotFound
            There is no such model.
        """
        task = _find(self._infers, "model", request.get("model"))
        if request.get("session_id"):
            request = {**request, "image": self._import_session(request)}
        file, params = task(request)
        return {"label": file, "tag": ORIGINAL, "file": file, "params": params}

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the status of the newest round; nothing is started.

        Raises
        ------
        NotFound
            There is no such trainer.
        """
        task = _find(self._trainers, "trainer", request.get("model"))
        return task(request, self._datastore)

    def _import_session(self, request: dict[str, Any]) -> str:
        """Import a session's image, since only images in the catalogue can be pre-segmented."""
        reader = reader_of(request)
        session = self._sessions.get(request["session_id"], reader.account)
        return self._datastore.upload(f"session {session.id}", session.image, reader)


def _find(tasks: Mapping[str, _Task], kind: str, name: object) -> _Task:
    """Return the strategy, model or trainer of that name. Raises :class:`NotFound`."""
    task = tasks.get(name) if isinstance(name, str) else None
    if task is None:
        raise NotFound(f"there is no {kind} {name!r:.80}; use one of {', '.join(tasks)}")
    return task
