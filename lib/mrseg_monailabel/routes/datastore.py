"""``/datastore/``: images, pre-segmentations and annotations."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import FileResponse, Response
from starlette.requests import Request

from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.files import receive
from mrseg_label.http.downloads import send_file
from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.params import parse_params, reader_of
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.routes.uploads import base_name, image_name, image_suffix

_WARNINGS = 5  # in one answer: headers are short
# Slicer downloads by urlretrieve, which sends the address alone; other clients may name themselves.
Client = Annotated[str, Query(description="client id, as in the params of the other routes")]


def warning_header(text: str) -> str:
    """Write a text as the value of the header ``Warning`` (code 299), in ASCII."""
    plain = text.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")
    return f'299 mrseg-label "{plain}"'


class Output(StrEnum):
    """What ``GET /datastore/`` returns."""

    STATS = "stats"
    ALL = "all"
    TRAIN = "train"


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the routes that download, submit and upload."""
    routes = APIRouter(prefix="/datastore", tags=["MONAI Label"])
    store = app.datastore()

    @routes.get("/", summary="Get counts, the cases that are assigned now, or pairs to train on")
    def datastore(identity: CurrentIdentity, output: Output = Output.STATS) -> Any:
        reader = reader_of(None, identity)
        if output is Output.ALL:
            return store.json(reader)
        if output is Output.TRAIN:
            reader.check_admin_or_program("the list of annotated cases")
            return store.datalist()
        return store.status()

    @routes.put("/", summary="Upload an image", include_in_schema=False)
    @routes.put("/image", summary="Upload an image")
    def put_image(
        identity: CurrentIdentity,
        file: Annotated[UploadFile, File()],
        image: str = "",
        params: Annotated[str, Form()] = "{}",
    ) -> dict[str, str]:
        reader = reader_of(parse_params(params), identity)
        with app.workspace.scratch("upload-") as folder:
            upload = receive(file.file, folder / f"image{image_suffix(file.filename)}")
            return {"image": store.upload(image or image_name(file.filename), upload, reader)}

    @routes.get("/image", summary="Download an image", response_class=FileResponse)
    def get_image(request: Request, identity: CurrentIdentity, image: str, client_id: Client = "") -> Response:
        return send_file(request, store.image_file(image, reader_of({"client_id": client_id}, identity)))

    @routes.head("/image", summary="Check that an image exists, and its checksum", include_in_schema=False)
    def head_image(
        request: Request, identity: CurrentIdentity, image: str, check_sum: str = "", client_id: Client = ""
    ) -> Response:
        stored = store.image_file(image, reader_of({"client_id": client_id}, identity))
        algorithm, _, digest = check_sum.rpartition(":")
        if algorithm.upper() not in ("", "SHA256"):
            raise InvalidInput(f"checksums are SHA256, not {algorithm!r:.40}")
        if digest and digest.lower() != stored.digest:
            raise NotFound(f"the checksum of image {image!r:.80} is SHA256:{stored.digest}, not the one in check_sum")
        return send_file(request, stored)

    @routes.get("/image/info", summary="Describe an image")
    def image_info(identity: CurrentIdentity, image: str, client_id: Client = "") -> dict[str, Any]:
        return store.image_info(image, reader_of({"client_id": client_id}, identity))

    @routes.put("/label", summary="Submit an annotation")
    def put_label(
        identity: CurrentIdentity,
        response: Response,
        image: str,
        label: Annotated[UploadFile, File()],
        params: Annotated[str, Form()] = "{}",
        tag: str = "final",
    ) -> dict[str, str]:
        parsed = parse_params(params)
        reader = reader_of(parsed, identity)
        with app.workspace.scratch("upload-") as folder:
            # Only the suffix of the client's name is used: it names the format.
            submitted = store.submit(
                image, receive(label.file, folder / "label"), base_name(label.filename), tag or "final", reader, parsed
            )
        for doubt in submitted.doubts[:_WARNINGS]:  # not in the body, of which clients know two fields
            response.headers.append("Warning", warning_header(doubt))
        return {"image": submitted.examination_id, "label": submitted.examination_id}

    @routes.get(
        "/label",
        summary="Download a pre-segmentation (original) or the newest accepted annotation (final)",
        response_class=FileResponse,
    )
    def get_label(
        request: Request, identity: CurrentIdentity, label: str, tag: str = "final", client_id: Client = ""
    ) -> Response:
        return send_file(request, store.label_file(label, tag, reader_of({"client_id": client_id}, identity)))

    @routes.head("/label", summary="Check that a label exists", include_in_schema=False)
    def head_label(
        request: Request, identity: CurrentIdentity, tag: str, image: str = "", label: str = "", client_id: Client = ""
    ) -> Response:
        return send_file(request, store.label_file(image or label, tag, reader_of({"client_id": client_id}, identity)))

    @routes.get("/label/info", summary="Describe a label")
    def label_info(identity: CurrentIdentity, label: str, tag: str = "final", client_id: Client = "") -> dict[str, Any]:
        return store.label_info(label, tag, reader_of({"client_id": client_id}, identity))

    return routes
