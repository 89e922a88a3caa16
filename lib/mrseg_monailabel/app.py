"""The class that the stock launcher finds in ``apps/mrseg/main.py``: our app object as a MONAI Label app.

``python -m monailabel.main start_server --app apps/mrseg --studies DIR`` makes an application of its own, which
listens on 0.0.0.0 with sign-in off and every origin allowed. So our middleware and our routes replace those of
that application when it starts, and only its listening remains.
"""

from __future__ import annotations

import atexit
import logging
import threading

from fastapi import FastAPI
from monailabel.interfaces.app import MONAILabelApp

from mrseg_label.errors import ConfigurationError
from mrseg_label.maintenance.checks.settings import require_settings
from mrseg_label.maintenance.permissions import close_workspace
from mrseg_label.private import keep_private
from mrseg_monailabel.processes import ServerProcesses
from mrseg_monailabel.protocol_app import NAME, ProtocolApp
from mrseg_monailabel.server import build
from mrseg_monailabel.sessions import SessionStore
from mrseg_monailabel.studies import import_studies, open_studies, workspace_of

log = logging.getLogger("mrseg_monailabel")


class MRSegApp(ProtocolApp, MONAILabelApp):
    """The app object as a MONAI Label app; every method that a route calls is :class:`ProtocolApp`'s.

    Parameters
    ----------
    app_dir, studies, conf : as the launcher passes them; ``studies`` is a workspace or a folder of images.

    Raises
    ------
    ConfigurationError
        The studies cannot be used, or a setting of the workspace cannot work.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        keep_private()
        workspace, self._images = open_studies(studies)
        for warning in require_settings(workspace, computes=workspace.settings.workers > 0):
            log.warning("%s", warning)
        for warning in close_workspace(workspace):
            log.warning("%s", warning)
        ProtocolApp.__init__(self, workspace)
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

    def _load_sessions(self, load: bool = False) -> SessionStore:  # noqa: ARG002 - as MONAI Label calls it
        """Make the store of sessions, in the workspace and not in the home folder."""
        return SessionStore(self.workspace)

    def on_init_complete(self) -> None:
        """Replace the stock application's routes, start the workers and import the images when it starts."""
        from monailabel import app as stock

        replace_routes(stock.app, build(self))
        processes = ServerProcesses(self)
        processes.handle_signals()
        processes.start()
        # The stock application calls nothing at its end; workers of a killed server end by themselves.
        atexit.register(processes.stop)
        if self._images is not None:
            threading.Thread(
                target=import_studies, args=(self.workspace, self._images), name="import", daemon=True
            ).start()


def replace_routes(stock: FastAPI, ours: FastAPI) -> None:
    """Replace middleware and routes of the stock application by ours, so that none of its own is left.

    The routers that it includes cannot be removed one by one, and /logs, /proxy and /reload must not be open.

    Raises
    ------
    ConfigurationError
        This version of FastAPI keeps them elsewhere.
    """
    if not hasattr(stock, "middleware_stack") or not hasattr(stock.router, "routes"):
        raise ConfigurationError(
            "the routes of MONAI Label's own server cannot be replaced under this version of FastAPI; "
            "start the server with: mrseg-label serve"
        )
    stock.middleware_stack = ours.build_middleware_stack()
    stock.router.routes[:] = ours.router.routes
    # The launcher's access log would hold query strings, and with them tickets and names of images.
    logging.getLogger("uvicorn.access").disabled = True
    log.info("the MONAI Label server now answers with the routes of mrseg-label")
