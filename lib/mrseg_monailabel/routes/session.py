"""``/session/``: an image that is segmented once and not kept."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.responses import FileResponse

from mrseg_label.errors import InvalidInput
from mrseg_label.files import receive
from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.routes.uploads import image_suffix


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the routes that make, read and end sessions."""
    routes = APIRouter(prefix="/session", tags=["MONAI Label"])
    sessions = app.sessions()

    @routes.put("/", summary="Create a session with one image")
    def create(
        identity: CurrentIdentity, files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0
    ) -> dict[str, Any]:
        if len(files) != 1 or uncompress:
            raise InvalidInput(
                "a session takes one NIfTI, NRRD or MetaImage file; DICOM series are imported with: mrseg-label import"
            )
        suffix = image_suffix(files[0].filename)
        with app.workspace.scratch("upload-") as folder:
            session = sessions.add(receive(files[0].file, folder / f"image{suffix}"), suffix, expiry, _owner(identity))
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
