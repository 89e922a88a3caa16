"""``/session/``: an image that is segmented once and not kept."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.responses import FileResponse

from mrseg_label.files import receive
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.readers import CurrentIdentity
from mrseg_label.intake.service import SentFile
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.routes.uploads import base_name

# A file for each slice of a series; more come in a zip.
_FORM_LIMITS: Any = {**FORM_LIMITS, "max_files": 512}


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the routes that make, read and end sessions."""
    routes = APIRouter(prefix="/session", tags=["MONAI Label"], form_limits=_FORM_LIMITS)
    sessions = app.sessions()

    @routes.put("/", summary="Create a session with one image: a file, or the DICOM files of a series")
    def create(
        identity: CurrentIdentity,
        files: Annotated[list[UploadFile], File()],
        uncompress: bool = False,  # noqa: ARG001 - MONAI Label's clients send it; the content tells what is a zip
        expiry: int = 0,
    ) -> dict[str, Any]:
        with app.workspace.scratch("upload-") as folder:
            sent = [
                SentFile(base_name(file.filename), receive(file.file, folder / str(number)))
                for number, file in enumerate(files)
            ]
            session = sessions.add(sent, expiry, _owner(identity))
        return {"session_id": session.id, "session_info": session.to_json()}

    @routes.get("/{session_id}", summary="Get a session, or its image", response_model=None)
    def get(
        identity: CurrentIdentity,
        session_id: str,
        update_ts: bool = False,  # noqa: ARG001 - MONAI Label's clients send it; every use keeps the session alive
        image: bool = False,
    ) -> Any:
        session = sessions.get(session_id, _owner(identity))
        if image:
            return FileResponse(session.image, media_type="application/octet-stream", filename=session.image.name)
        return session.to_json()

    @routes.delete("/{session_id}", summary="End a session")
    def remove(identity: CurrentIdentity, session_id: str) -> dict[str, Any]:
        return sessions.remove(session_id, _owner(identity)).to_json()

    return routes


def _owner(identity: CurrentIdentity) -> str | None:
    return identity.name if identity else None
