"""``/dicomweb``: studies of the archive, their import, and the sending of annotations."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, status
from pydantic import BaseModel, Field

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.readers import CurrentReader
from mrseg_label.intake.options import ImportOptions
from mrseg_label.reports.documents.archive import FoundOut
from mrseg_label.reports.documents.jobs import JobOut
from mrseg_label.reports.jobs import read_job


class ArchiveQuery(BaseModel):
    """Which studies of the archive are asked for; what is left out does not restrict."""

    model_config = {"extra": "forbid"}
    date: str = Field(
        "", max_length=60, description="`2025-03-01`, or `2025-01-01..2025-06-30` with either end left out"
    )
    modality: str = Field("", max_length=200, description="of series, separated by commas; MR and CT by default")
    description: str = Field("", max_length=200, description="text in the description of the study or the series")
    identifiers: list[str] = Field(
        default_factory=list, max_length=100_000, description="study or series UIDs, or accession numbers"
    )


class ArchiveImport(ArchiveQuery):
    """What is imported from the archive, and how."""

    participant: str | None = Field(None, max_length=200, description="code for all these images")
    licence: str | None = Field(None, max_length=200)
    cohort: str | None = Field(None, max_length=100, description="name of the data set")
    evaluation_only: bool = Field(False, description="keep the images for evaluation")


class ArchiveSending(ArchiveQuery):
    """Of which images of the archive the annotations are sent, and which annotations."""

    state: Literal["accepted", "submitted"] = Field(
        "accepted", description="accepted annotations alone, or of each case the newest, be it accepted or not"
    )
    participants: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=10_000, description="codes; only of these participants"
    )
    dry_run: bool = Field(False, description="count what would be sent, and send nothing")


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/dicomweb``."""
    routes = APIRouter(prefix="/dicomweb", tags=["imports"])

    @routes.post("/search", summary="Search the archive of DICOMWEB_URL: the first studies of a query (admin)")
    def search_archive(query: ArchiveQuery) -> FoundOut:
        # pydicom is behind it, which a server needs only for DICOM.
        from mrseg_label.dicomweb.query import parse_query
        from mrseg_label.intake import archive_jobs

        asked = parse_query(query.date, query.modality, query.description, query.identifiers)
        return FoundOut.of(archive_jobs.search(workspace, asked))

    @routes.post(
        "/import", status_code=status.HTTP_202_ACCEPTED, summary="Import studies of the archive, as a job (admin)"
    )
    def import_from_archive(request: ArchiveImport, reader: CurrentReader) -> JobOut:
        from mrseg_label.dicomweb.query import parse_query
        from mrseg_label.intake import archive_jobs

        asked = parse_query(request.date, request.modality, request.description, request.identifiers)
        options = ImportOptions(
            participant=request.participant,
            licence=request.licence,
            cohort=request.cohort,
            evaluation_only=request.evaluation_only,
            actor=reader.name,
        )
        return read_job(workspace.catalog, archive_jobs.start(workspace, asked, options))

    @routes.post(
        "/send",
        status_code=status.HTTP_202_ACCEPTED,
        tags=["annotations"],
        summary="Store annotations in the archive as DICOM segmentations, as a job (admin)",
    )
    def send_to_archive(request: ArchiveSending, reader: CurrentReader) -> JobOut:
        from mrseg_label.dicomweb.query import parse_query
        from mrseg_label.exports import sending_jobs
        from mrseg_label.exports.dataset import MaskChoice, Selection

        asked = parse_query(request.date, request.modality, request.description, request.identifiers)
        selection = Selection(MaskChoice(request.state), tuple(request.participants))
        job = sending_jobs.start(workspace, asked, selection, actor=reader.name, dry_run=request.dry_run)
        return read_job(workspace.catalog, job)

    return routes
