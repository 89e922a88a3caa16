"""``/dashboard/import``: send images, import what lies in the inbox, and see what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, File, Form, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import Conflict, InvalidInput, MrsegError, NotFound, Unavailable
from mrseg_label.http import paths
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.readers import CurrentReader
from mrseg_label.intake import inbox
from mrseg_label.intake.options import ImportOptions
from mrseg_label.reports.documents.archive import FoundOut
from mrseg_label.reports.imports import read_imports, read_sendings
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import PageRoute, page, redirect, sentence

MAX_FILES = 512
SHOWN = 10
_NOTHING_ASKED = dict.fromkeys(("date", "modality", "description", "identifiers"), "")
_Text = Annotated[str, Form(max_length=1000)]


def _asked_options(
    pattern: _Text = "",
    participant: _Text = "",
    orientation: _Text = "",
    masks: _Text = "",
    licence: _Text = "",
    cohort: _Text = "",
    evaluation_only: Annotated[bool, Form()] = False,
    no_propagation: Annotated[bool, Form()] = False,
) -> Callable[[str], ImportOptions]:
    """Read the fields of a form; what is returned makes the options of whoever imports, and raises what is wrong with them."""
    return partial(
        _options,
        pattern=pattern,
        participant=participant,
        orientation=orientation,
        masks=masks,
        licence=licence,
        cohort=cohort,
        evaluation_only=evaluation_only,
        no_propagation=no_propagation,
    )


_AskedOptions = Annotated[Callable[[str], ImportOptions], Depends(_asked_options)]


def import_router(workspace: OpenedWorkspace, forms: FormTokens) -> APIRouter:
    """Assemble the page and its forms; more files are permitted there than elsewhere."""
    limits: Any = {**FORM_LIMITS, "max_files": MAX_FILES}
    routes = APIRouter(
        include_in_schema=False, route_class=PageRoute, form_limits=limits, dependencies=[forms.remember]
    )
    catalog = workspace.catalog

    def import_page(
        request: Request,
        status: int = 200,
        *,
        note: str = "",
        message: str = "",
        found: FoundOut | None = None,
        asked: Mapping[str, str] | None = None,
    ) -> Response:
        imports, sendings = read_imports(catalog, SHOWN), read_sendings(catalog, SHOWN)
        states = {one.state for one in imports} | {one.state for one in sendings}
        going = bool(states & {JobState.QUEUED, JobState.RUNNING})
        values: dict[str, Any] = {
            "waiting": inbox.waiting(workspace),
            "most": inbox.MAX_COUNTED,
            "folder": str(workspace.root / inbox.INBOX),
            "imports": imports,
            "sendings": sendings,
            "going": going,
            "max_files": MAX_FILES,
            "max_mb": workspace.settings.max_upload_mb,
            "archive": urlsplit(workspace.settings.dicomweb_url or "").netloc,
            "found": found,
            "asked": asked or _NOTHING_ASKED,
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/import.html", status, script=True, **values)

    @routes.get(paths.IMPORT)
    def get_import(request: Request, note: str = "") -> Response:
        return import_page(request, note=note)

    @routes.post(paths.IMPORT, dependencies=forms.checks)
    def import_entry(
        request: Request,
        reader: CurrentReader,
        options_by: _AskedOptions,
        entry: _Text = "",
    ) -> Response:
        try:
            options = options_by(reader.name)
            inbox.start_import(workspace, entry, options)
        except (InvalidInput, NotFound) as error:
            return import_page(request, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.IMPORT}?note=started")

    @routes.post(paths.SEND_IMAGES, dependencies=forms.checks)
    def send_files(
        request: Request,
        reader: CurrentReader,
        options_by: _AskedOptions,
        files: Annotated[list[UploadFile | str], File()],  # a text where nothing was chosen
    ) -> Response:
        name = ""
        try:
            options = options_by(reader.name)
            name = inbox.store_sent(
                workspace, [(one.filename, one.file) for one in files if not isinstance(one, str) and one.filename]
            )
            inbox.start_import(workspace, name, options)
        except MrsegError as error:
            inbox.discard_sent(workspace, name)
            if not isinstance(error, InvalidInput):
                raise
            return import_page(request, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.IMPORT}?note=started")

    @routes.post(paths.ASK_ARCHIVE, dependencies=forms.checks)
    def ask_archive(
        request: Request,
        reader: CurrentReader,
        date: _Text = "",
        modality: _Text = "",
        description: _Text = "",
        identifiers: Annotated[str, Form(max_length=1_000_000)] = "",
        cohort: _Text = "",
        licence: _Text = "",
        evaluation_only: Annotated[bool, Form()] = False,
        no_propagation: Annotated[bool, Form()] = False,
        wanted: Annotated[Literal["search", "import"], Form()] = "search",
    ) -> Response:
        # pydicom is behind them, which a server needs only for DICOM.
        from mrseg_label.dicomweb.query import parse_query, read_identifiers
        from mrseg_label.intake import archive_jobs

        asked = {"date": date, "modality": modality, "description": description, "identifiers": identifiers}
        try:
            query = parse_query(date, modality, description, read_identifiers(identifiers))
            if wanted == "search":
                found = FoundOut.of(archive_jobs.search(workspace, query))
                return import_page(request, found=found, asked=asked)
            options = _options(
                reader.name,
                licence=licence,
                cohort=cohort,
                evaluation_only=evaluation_only,
                no_propagation=no_propagation,
            )
            archive_jobs.start(workspace, query, options)
        except (InvalidInput, Conflict, Unavailable) as error:
            return import_page(request, error.http_status, message=sentence(error), asked=asked)
        return redirect(request, f"{paths.IMPORT}?note=started")

    @routes.post(paths.SEND_TO_ARCHIVE, dependencies=forms.checks)
    def send_to_archive(
        request: Request,
        reader: CurrentReader,
        date: _Text = "",
        description: _Text = "",
        identifiers: Annotated[str, Form(max_length=1_000_000)] = "",
        wanted: Annotated[Literal["count", "send"], Form()] = "count",
    ) -> Response:
        from mrseg_label.dicomweb.query import parse_query, read_identifiers
        from mrseg_label.exports import sending_jobs
        from mrseg_label.exports.dataset import Selection

        try:
            query = parse_query(date, "", description, read_identifiers(identifiers))
            sending_jobs.start(workspace, query, Selection(), actor=reader.name, dry_run=wanted == "count")
        except (InvalidInput, Conflict) as error:
            return import_page(request, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.IMPORT}?note=sending")

    return routes


def _options(
    actor: str,
    *,
    pattern: str = "",
    participant: str = "",
    orientation: str = "",
    masks: str = "",
    licence: str,
    cohort: str,
    evaluation_only: bool,
    no_propagation: bool,
) -> ImportOptions:
    """Make the options of an import from the fields of a form; empty ones are not given."""
    return ImportOptions(
        pattern=pattern.strip() or None,
        participant=participant.strip() or None,
        orientation=orientation.strip() or None,
        masks=masks.strip() or None,
        licence=licence.strip() or None,
        cohort=cohort.strip() or None,
        evaluation_only=evaluation_only,
        propagate=not no_propagation,
        actor=actor,
    )
