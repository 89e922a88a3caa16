"""Turn an annotation into a DICOM segmentation, and its image into the series that the segmentation refers to.

A workspace keeps no attributes of the files that an image was imported from (:mod:`mrseg_label.intake.dicom`), so the series is made of
the stored image: its patient is the participant's code, its UIDs follow from ids of the workspace. Where the series of the hospital is at
hand, the segmentation refers to that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.catalog.types import StructureState
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from mrseg_label.imaging.dicom.writing import SeriesNames
    from mrseg_label.segments.dicom.writing import Origin

_DRAFTED = (StructureState.CORRECTED, StructureState.UNCHANGED)
_DRAFT = "draft"  # of no model version, such as TotalSegmentator's
_CT = "ct"


def series_names(acquisition: Acquisition, examination: Examination) -> SeriesNames:
    """Name the series that is made of a stored image."""
    from mrseg_label.imaging.dicom.writing import SeriesNames

    return SeriesNames(
        patient=acquisition.participant.code,
        study=_study_of(acquisition),
        frame_of_reference=acquisition.id,
        series=examination.id,
        description=" ".join(part for part in (acquisition.station, examination.sequence) if part) or examination.id,
        moment=examination.created_at,
        is_ct=examination.sequence == _CT,
    )


def _study_of(acquisition: Acquisition) -> str:
    """What the acquisitions of one session have in common."""
    try:
        code, session, *_ = json.loads(acquisition.key)
    except (ValueError, TypeError):  # of a version that wrote other keys
        return acquisition.key
    return json.dumps([code, session])


def origin_of(scheme: LabelScheme, annotation: Annotation) -> Origin:
    """Describe an annotation as a segmentation states it."""
    from mrseg_label.segments.dicom.writing import Origin

    return Origin(
        key=annotation.id,
        judged=frozenset(annotation.judged & set(scheme.names)),
        author=annotation.author,
        moment=annotation.created_at,
        models={
            item.structure: item.drafted_by or annotation.model_version or _DRAFT
            for item in annotation.structures
            if item.state in _DRAFTED
        },
        description=f"Annotation {annotation.number}",
    )


def make_dicom_segmentation(
    workspace: Workspace,
    scheme: LabelScheme,
    annotation: Annotation,
    acquisition: Acquisition,
    examination: Examination,
    sources: Sequence[Dataset] | None = None,
) -> bytes:
    """Make the DICOM segmentation of an annotation.

    Parameters
    ----------
    examination : the channel to whose series it refers.
    sources : that series, as the hospital has it; None for the one that is made of the stored image.

    Returns
    -------
    The file: the same for the same annotation and series.

    Raises
    ------
    InvalidInput, GeometryError
        As :func:`mrseg_label.segments.dicom.writing.make_segmentation`.
    """
    # pydicom is behind them, which a server needs only for DICOM.
    from mrseg_label.imaging.dicom.writing import encode, slice_headers
    from mrseg_label.segments.dicom.writing import make_segmentation

    mask, geometry = read_label_map(workspace.path(annotation.path), highest=len(scheme))
    if sources is None:
        sources = slice_headers(Geometry.from_json(examination.geometry), series_names(acquisition, examination))
    try:
        return encode(make_segmentation(mask, geometry, sources, scheme, origin_of(scheme, annotation)))
    except InvalidInput as error:
        raise type(error)(f"annotation {annotation.id}: {error}") from error
