"""The app object: what the routes call, and what MONAI Label's own app class becomes in :mod:`mrseg_monailabel.app`.

It imports MONAI Label's interfaces, not its app class: that one brings torch, ITK, DICOM clients and cloud
sessions, a gigabyte of memory and a quarter of a minute at every start, for methods that are replaced here.
"""

from __future__ import annotations

from typing import Any

import mrseg_label
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import NotFound
from mrseg_monailabel.datastore import MRSegDatastore
from mrseg_monailabel.described import ORIGINAL
from mrseg_monailabel.infer import MRSegInfer
from mrseg_monailabel.params import reader_of
from mrseg_monailabel.sessions import SessionStore
from mrseg_monailabel.strategies import DESCRIPTIONS, WorklistStrategy
from mrseg_monailabel.train import RoundTrainer
from mrseg_monailabel.weights import weights_in_use

MODEL = "mrseg"
NAME = "mrseg-label"


class LoopApp:
    """Datastore, infer task, trainer and strategies of one workspace, with the methods of a MONAI Label app."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self.workspace = workspace
        self.catalog = workspace.catalog
        self.name = NAME
        self.version = mrseg_label.__version__
        self.labels = workspace.scheme.label_names
        self._datastore = self.init_datastore()
        self._infers = self.init_infers()
        self._trainers = self.init_trainers()
        self._strategies = self.init_strategies()
        self._sessions = SessionStore(workspace)
        settings = workspace.settings
        self.sign_in = (
            SignIn(workspace.catalog, settings.token_hours, settings.app_password_days)
            if settings.auth == "on"
            else None
        )

    def init_datastore(self) -> MRSegDatastore:
        """The catalogue as MONAI Label's datastore."""
        return MRSegDatastore(self.workspace)

    def init_infers(self) -> dict[str, MRSegInfer]:
        """One infer task: the newest model."""
        return {MODEL: MRSegInfer(self.workspace, self._datastore)}

    def init_trainers(self) -> dict[str, RoundTrainer]:
        """One trainer: the rounds."""
        return {MODEL: RoundTrainer(MODEL, self.workspace)}

    def init_strategies(self) -> dict[str, WorklistStrategy]:
        """The worklist's strategies; Slicer preselects the first."""
        return {name: WorklistStrategy(name, self.workspace) for name in DESCRIPTIONS}

    def datastore(self) -> MRSegDatastore:
        """The datastore."""
        return self._datastore

    def sessions(self) -> SessionStore:
        """Images that were sent for one look."""
        return self._sessions

    def trainer(self) -> RoundTrainer:
        """The one trainer."""
        return self._trainers[MODEL]

    def stop_waiting(self) -> None:
        """Answer those who wait for a draft: the server ends."""
        for task in self._infers.values():
            task.stopping.set()

    def info(self) -> dict[str, Any]:
        """What Slicer asks for first, and again after every submission."""
        models = {name: task.info() for name, task in self._infers.items()}
        version = models[MODEL]["version"]
        weights = weights_in_use(self.workspace, version)
        models[MODEL]["description"] += f" ({weights})"
        models[MODEL]["weights"] = weights
        return {
            "name": self.name,
            "description": f"whole-body MR segmentation; model version {version}; {weights}",
            "version": self.version,
            "labels": self.labels,
            "models": models,
            "trainers": {name: task.info() for name, task in self._trainers.items()},
            "strategies": {name: task.info() for name, task in self._strategies.items()},
            "scoring": {},
            "train_stats": {name: task.stats() for name, task in self._trainers.items()},
            "datastore": self._datastore.status(),
        }

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next case by ``request["strategy"]``; empty when nothing is left."""
        name = request.get("strategy")
        strategy = self._strategies.get(name) if isinstance(name, str) else None
        if strategy is None:
            raise NotFound(f"there is no strategy {name!r:.80}; there are {', '.join(self._strategies)}")
        return strategy(request, self._datastore)

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """The draft of ``request["image"]`` as a file of its own in ``request["folder"]``."""
        name = request.get("model")
        task = self._infers.get(name) if isinstance(name, str) else None
        if task is None:
            raise NotFound(f"there is no model {name!r:.80}; there is {', '.join(self._infers)}")
        if request.get("session_id"):
            request = {**request, "image": self._examination_of_session(request)}
        file, params = task(request)
        return {"label": file, "tag": ORIGINAL, "file": file, "params": params}

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start nothing; the status of the newest round."""
        name = request.get("model")
        task = self._trainers.get(name) if isinstance(name, str) else None
        if task is None:
            raise NotFound(f"there is no trainer {name!r:.80}; there is {', '.join(self._trainers)}")
        return task(request, self._datastore)

    def _examination_of_session(self, request: dict[str, Any]) -> str:
        """Take a session's image into the catalogue, since drafts are made of what is in there."""
        reader = reader_of(request)
        session = self._sessions.get(request["session_id"], reader.account)
        return self._datastore.upload(f"session {session.id}", session.image, reader)
