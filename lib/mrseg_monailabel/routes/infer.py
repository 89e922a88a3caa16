"""``/infer/{model}``: the pre-segmentation of an image, or the annotation that its reader starts from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from requests_toolbelt import MultipartEncoder

from mrseg_label.errors import InvalidInput
from mrseg_label.files import receive
from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.params import READER, check_no_paths, parse_params, reader_of
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.routes.uploads import image_name, image_suffix

# Requests that wait for a pre-segmentation have threads of their own and never take those of the other routes.
WAITING_READERS = 64
CHUNK = 256 * 1024


class Output(StrEnum):
    """Form of the reply; Slicer names none and gets params and file."""

    ALL = "all"
    IMAGE = "image"
    JSON = "json"


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the route that sends masks."""
    routes = APIRouter(prefix="/infer", tags=["MONAI Label"])
    limiter = CapacityLimiter(WAITING_READERS)

    @routes.post(
        "/{model}", summary="Get the mask to start from: multipart with params and one file", response_class=Response
    )
    async def infer(
        model: str,
        identity: CurrentIdentity,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[  # noqa: ARG001 - some clients send it
            UploadFile | None, File(description="ignored: the model takes no scribbles")
        ] = None,
        output: Output = Output.ALL,
    ) -> Response:
        def run() -> Response:
            parsed = parse_params(params)
            check_no_paths(parsed)
            request = {**parsed, "model": model, "image": image, "session_id": session_id}
            return _infer(app, {**request, READER: reader_of(parsed, identity)}, file, output)

        return await anyio.to_thread.run_sync(run, limiter=limiter)

    return routes


def _infer(app: ProtocolApp, request: dict[str, Any], file: UploadFile | None, output: Output) -> Response:
    image = request["image"]
    if not image and not request["session_id"] and file is None:
        raise InvalidInput("nothing to segment: name an image or a session, or send a file")
    with app.workspace.scratch("infer-") as folder:
        if file is not None:
            upload = receive(file.file, folder / f"image{image_suffix(file.filename)}")
            image = app.datastore().upload(image or image_name(file.filename), upload, reader_of(request))
        result = app.infer({**request, "image": image, "folder": str(folder)})
        if output is Output.JSON:
            return JSONResponse(result["params"])
        # The open file outlives its folder, and ends with the reply, even where the client hangs up.
        return _render(Path(result["file"]), result["params"], output)


def _render(path: Path, params: dict[str, Any], output: Output) -> Response:
    binary = "application/octet-stream"
    stream = path.open("rb")
    if output is Output.IMAGE:
        headers = {
            "Content-Length": str(path.stat().st_size),
            "Content-Disposition": f'attachment; filename="{path.name}"',
        }
        return StreamingResponse(_chunks(stream), media_type=binary, headers=headers)
    encoder = MultipartEncoder(
        {"params": (None, json.dumps(params), "application/json"), "image": (path.name, stream, binary)}
    )
    headers = {"Content-Length": str(encoder.len)}
    return StreamingResponse(_chunks(encoder), media_type=encoder.content_type, headers=headers)


def _chunks(source: MultipartEncoder | BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
