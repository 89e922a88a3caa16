"""Annotations as DICOM segmentations and images as DICOM series, as clients download them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session
from zipstream import ZipStream

from mrseg_label.annotation.as_dicom import make_dicom_segmentation, series_names
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.errors import NotFound
from mrseg_label.reports.cases import examination_row
from mrseg_label.reports.downloads import current_annotation, readable_annotation


@dataclass(frozen=True)
class DicomFile:
    """A file that is made for a client, and its name."""

    name: str
    data: bytes


def make_segmentation_file(workspace: OpenedWorkspace, annotation_id: str, reader: Reader) -> DicomFile:
    """Make the DICOM segmentation of an annotation. Raises as :func:`mrseg_label.reports.downloads.find_mask`.

    Raises
    ------
    InvalidInput
        No structure of the annotation has voxels.
    """
    with workspace.catalog.read() as session:
        found = _with_image(session, readable_annotation(session, annotation_id, reader))
    return _file(workspace, *found)


def make_current_segmentation_file(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> DicomFile:
    """Make the DICOM segmentation of an examination's mask, which refers to that examination.

    Raises as :func:`mrseg_label.reports.downloads.find_current_mask` and :func:`make_segmentation_file`.
    """
    with workspace.catalog.read() as session:
        annotation = current_annotation(session, examination_id, reader)
        found = _with_image(session, annotation, examination_row(session, examination_id))
    return _file(workspace, *found)


def stream_series(workspace: OpenedWorkspace, examination_id: str) -> Iterator[bytes]:
    """Yield a zip of the DICOM series that is made of an image: the one that its segmentations refer to.

    Raises
    ------
    NotFound
        There is no such examination; raised before the first byte.
    """
    with workspace.catalog.read() as session:
        examination = examination_row(session, examination_id)
        acquisition = _acquisition(session, examination.acquisition_id)
    return _zip(workspace, acquisition, examination)


def _zip(workspace: OpenedWorkspace, acquisition: Acquisition, examination: Examination) -> Iterator[bytes]:
    # pydicom is behind them, which a server needs only for DICOM.
    from mrseg_label.imaging import load_image
    from mrseg_label.imaging.dicom.writing import ImageSeries, encode

    archive = ZipStream()  # stored, not compressed: it is made while it is sent
    array, geometry, _ = load_image(workspace.path(examination.path))
    for number, ds in enumerate(ImageSeries(array, geometry, series_names(acquisition, examination)), start=1):
        archive.add(encode(ds), f"{examination.id}/{number:04d}.dcm")
        yield from archive.all_files()
    yield from archive.finalize()


def _with_image(
    session: Session, annotation: Annotation, examination: Examination | None = None
) -> tuple[Annotation, Acquisition, Examination]:
    """Find what an annotation was drawn on, unless another channel is given."""
    examination = examination or examination_row(session, annotation.examination_id)
    return annotation, _acquisition(session, annotation.acquisition_id), examination


def _acquisition(session: Session, acquisition_id: str) -> Acquisition:
    acquisition = acquisitions.get(session, acquisition_id)
    if acquisition is None:
        raise NotFound(f"the case {acquisition_id[:60]!r} was deleted")
    return acquisition


def _file(
    workspace: OpenedWorkspace, annotation: Annotation, acquisition: Acquisition, examination: Examination
) -> DicomFile:
    data = make_dicom_segmentation(workspace, workspace.scheme, annotation, acquisition, examination)
    return DicomFile(f"{annotation.id}.dcm", data)
