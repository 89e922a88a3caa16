"""The class that the stock launcher finds in ``apps/mrseg/main.py``: our app object as a MONAI Label app.

``python -m monailabel.main start_server --app apps/mrseg --studies DIR`` makes its own application and
listens on 0.0.0.0 with sign-in off and every origin allowed. So the application is handed our middleware
and our routes when it starts: what is left of it is the listening.
"""

from __future__ import annotations

import atexit
import logging
import threading

from fastapi import FastAPI
from monailabel.interfaces.app import MONAILabelApp

from mrseg_label.errors import ConfigurationError
from mrseg_monailabel.loop import NAME, LoopApp
from mrseg_monailabel.server import Background, build
from mrseg_monailabel.sessions import SessionStore
from mrseg_monailabel.studies import import_studies, open_studies, workspace_of

log = logging.getLogger("mrseg_monailabel")


class MRSegApp(LoopApp, MONAILabelApp):
    """The loop as a MONAI Label app; every method that a route calls is :class:`LoopApp`'s.

    Parameters
    ----------
    app_dir, studies, conf : as the launcher passes them; ``studies`` is a workspace or a folder of images.

    Raises
    ------
    ConfigurationError
        The studies cannot be used.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        workspace, self._images = open_studies(studies)
        LoopApp.__init__(self, workspace)
        MONAILabelApp.__init__(
            self,
            app_dir=app_dir,
            studies=str(workspace_of(studies)[0]),
            conf=conf,
            name=NAME,
            description="whole-body MR segmentation",
            version=self.version,
            labels=self.labels,
        )

    def _load_sessions(self, load: bool = False) -> SessionStore:
        """Sessions in the workspace instead of MONAI Label's in the home folder."""
        return SessionStore(self.workspace)

    def on_init_complete(self) -> None:
        """Called by the stock application when it starts: take it over, start the workers, import the images."""
        from monailabel import app as stock

        take_over(stock.app, build(self))
        background = Background(self)
        background.handle_signals()
        background.start()
        # The stock application has no hook at its end; workers of a killed server end by themselves.
        atexit.register(background.stop)
        if self._images is not None:
            threading.Thread(
                target=import_studies, args=(self.workspace, self._images), name="import", daemon=True
            ).start()


def take_over(stock: FastAPI, ours: FastAPI) -> None:
    """Hand the stock application our middleware stack and routes, so that none of its own answers.

    Its included routers cannot be taken out one by one, and /logs, /proxy and /reload must not be open.
    """
    if not hasattr(stock, "middleware_stack") or not hasattr(stock.router, "routes"):
        raise ConfigurationError(
            "this version of FastAPI cannot be taken over; start the server with: mrseg-label serve"
        )
    stock.middleware_stack = ours.build_middleware_stack()
    stock.router.routes[:] = ours.router.routes
    # The launcher's log of requests would write addresses down, and with them tickets and names of images.
    logging.getLogger("uvicorn.access").disabled = True
    log.info("the MONAI Label application answers with the routes of mrseg-label")
