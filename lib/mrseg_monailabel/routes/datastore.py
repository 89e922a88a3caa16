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
from mrseg_label.http.review_addresses import came_by_address
from mrseg_monailabel.descriptions import SUFFIX
from mrseg_monailabel.mask_files import SEGMENTS
from mrseg_monailabel.params import parse_params, reader_of
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.review_fields import NEIGHBOURS, label_suffix
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

    def may_be_extension(request: Request) -> bool:
        """Whether a request may come from Slicer's extension for reviews, which sends no token."""
        return app.sign_in is None or came_by_address(request)

    def suffix_of(request: Request) -> str:
        """Return the format in which the client gets labels."""
        return label_suffix(request.headers.get("user-agent", "")) if may_be_extension(request) else SUFFIX

    @routes.get("/", summary="Get counts, the cases that are assigned now and those to review, or pairs to train on")
    def datastore(request: Request, identity: CurrentIdentity, output: Output = Output.STATS) -> Any:
        reader = reader_of(None, identity)
        if output is Output.ALL:
            # MONAI Label's own client, which names no program, reads with every sample what is assigned, and nothing else.
            to_review = "user-agent" in request.headers
            unreviewed = may_be_extension(request)
            return store.json(reader, suffix_of(request), to_review=to_review, unreviewed=unreviewed)
        if output is Output.TRAIN:
            reader.check_admin_or_program("the list of annotated cases")
            return store.datalist()
        return store.status(reader)

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
        known = store.ticket_of(image, reader) or submitted.examination_id
        return {"image": known, "label": known}

    @routes.get(
        "/label",
        summary="Download a pre-segmentation (original), an annotation (final), what a reviewer saved (version_N), or what neighbouring stations have (neighbours)",
        response_class=FileResponse,
    )
    def get_label(
        request: Request, identity: CurrentIdentity, label: str, tag: str = "final", client_id: Client = ""
    ) -> Response:
        reader = reader_of({"client_id": client_id}, identity)
        if tag != NEIGHBOURS and suffix_of(request) != SEGMENTS:
            return send_file(request, store.label_file(label, tag, reader))
        with app.workspace.scratch("label-") as folder:
            if tag == NEIGHBOURS:
                file = store.neighbours_file(label, reader, folder)
            else:
                file = store.segments_file(label, tag, reader, folder)
            named = {"Content-Disposition": f'attachment; filename="{file.name}"'}
            return Response(file.read_bytes(), media_type="application/octet-stream", headers=named)

    @routes.put("/updatelabelinfo", summary="Accept or reject an annotation, or note something about it, from Slicer")
    def update_label_info(
        identity: CurrentIdentity,
        label: str,
        params: Annotated[str, Form(description='`{"segmentationMeta": {"status", "level", "comment", ...}}`')],
        tag: str = "final",
    ) -> dict[str, str]:
        parsed = parse_params(params)
        return store.remark(label, tag or "final", reader_of(parsed, identity), parsed)

    @routes.delete("/label", summary="Withdraw an annotation; nothing is deleted")
    def delete_label(identity: CurrentIdentity, id: str, tag: str = "final") -> dict[str, str]:
        return store.withdraw(id, tag or "final", reader_of(None, identity))

    @routes.head("/label", summary="Check that a label exists", include_in_schema=False)
    def head_label(
        request: Request, identity: CurrentIdentity, tag: str, image: str = "", label: str = "", client_id: Client = ""
    ) -> Response:
        return send_file(request, store.label_file(image or label, tag, reader_of({"client_id": client_id}, identity)))

    @routes.get("/label/info", summary="Describe a label")
    def label_info(identity: CurrentIdentity, label: str, tag: str = "final", client_id: Client = "") -> dict[str, Any]:
        return store.label_info(label, tag, reader_of({"client_id": client_id}, identity))

    return routes
