"""Send stored files: with their digest as ETag, and 304 to a client that has them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from email.utils import formatdate
from enum import StrEnum

from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.requests import Request

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.reports.downloads import Download

DICOM = "application/dicom"


class MaskFormat(StrEnum):
    """Format in which a mask is downloaded."""

    NIFTI = "nifti"
    DICOM_SEG = "dicom-seg"


class ImageFormat(StrEnum):
    """Format in which an image is downloaded."""

    NIFTI = "nifti"
    DICOM = "dicom"


# For the OpenAPI document.
FILE_RESPONSES: dict[int | str, dict[str, object]] = {
    200: {
        "content": {"application/gzip": {}, "application/dicom": {}, "application/zip": {}},
        "description": "NIfTI, or what `format` asks for; the ETag is its SHA-256",
    },
    206: {"content": {"application/gzip": {}}, "description": "the part that the header Range asks for"},
    304: {"description": "the client has it: its If-None-Match names the ETag"},
}


def send_file(request: Request, stored: Download) -> Response:
    """Send a stored file, or parts of it if the request has a Range.

    The address of a file has no digest in it, so that a client must ask again; with the digest the answer is short.
    """
    tag = f'"{stored.digest}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _has(request, tag):
        return Response(status_code=304, headers=headers)
    if not stored.dated:
        headers["Last-Modified"] = formatdate(0, usegmt=True)  # otherwise that of the file
    return FileResponse(stored.path, media_type=stored.media_type, filename=stored.name, headers=headers)


def send_made(request: Request, catalog: Catalog, reader: Reader, name: str, data: bytes, media_type: str) -> Response:
    """Send a file that was made for this request as :func:`send_file` does, and record in the audit trail who got it."""
    digest = hashlib.sha256(data).hexdigest()
    tag = f'"{digest}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _has(request, tag):
        return Response(status_code=304, headers=headers)
    if request.method == "GET":
        record_download(catalog, reader, name, digest=digest)
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(data, media_type=media_type, headers=headers)


def send_zip(request: Request, catalog: Catalog, reader: Reader, name: str, content: Iterator[bytes]) -> Response:
    """Send a zip that is made while it is sent, and record in the audit trail who got it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-cache"}
    if request.method == "HEAD":
        return Response(media_type="application/zip", headers=headers)
    record_download(catalog, reader, name)
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def send_recorded(request: Request, catalog: Catalog, reader: Reader, stored: Download) -> Response:
    """Send a stored file as :func:`send_file` does, and record in the audit trail who got it."""
    answer = send_file(request, stored)
    if request.method == "GET" and isinstance(answer, FileResponse):
        record_download(catalog, reader, stored.name, digest=stored.digest)
    return answer


def record_download(catalog: Catalog, reader: Reader, what: str, **detail: str) -> None:
    """Record in the audit trail that a reader or a program downloads something."""
    with catalog.begin() as session:
        audit.record(session, reader.name, "downloaded", what, **detail)


def record_first_sight(catalog: Catalog, reader: Reader, names: Collection[str]) -> None:
    """Record as downloaded what is shown to a reader, by its name as a file; each once for each reader."""
    with catalog.begin() as session:
        for name in names:
            if not audit.page(session, 1, actor=reader.name, actions=["downloaded"], subjects=[name]):
                audit.record(session, reader.name, "downloaded", name)


def _has(request: Request, tag: str) -> bool:
    """Whether the request says that its client has the file already (RFC 9110, 13.1.2)."""
    named = [part.strip().removeprefix("W/") for part in ",".join(request.headers.getlist("if-none-match")).split(",")]
    return tag in named or "*" in named
