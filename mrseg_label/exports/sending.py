"""Store annotations as DICOM segmentations in the archive that their images come from (STOW-RS).

The workspace knows no UID of the archive, only a token of each series. So a query lists series of the archive, tokens say which of
them are annotated images, and the series of these are fetched once more: a segmentation refers to slices of which voxels and grid are
those that were annotated, and takes the patient from them. Nothing of that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mrseg_label.annotation.as_dicom import make_dicom_segmentation
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.types import LOCAL
from mrseg_label.dicomweb import DicomwebServer, Query, Series, Study
from mrseg_label.dicomweb.server import Incomplete
from mrseg_label.errors import InvalidInput, MrsegError, Unavailable
from mrseg_label.exports.dataset import Case, Image, Selection, Way, choose
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.files.prepare import SCRATCH
from mrseg_label.intake.originals import find_originals
from mrseg_label.segments.dicom.writing import segmentation_uids

Progress = Callable[[int, int], None]


@dataclass
class SendReport:
    """What became of the annotations whose images the archive has.

    Attributes
    ----------
    sent : ids of annotations that were stored, or would be in a dry run.
    present : of those that the archive has already.
    refused : ids with the reason.
    stopped : why the archive could not be asked any further; empty where everything was.
    """

    sent: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    stopped: str = ""


@dataclass(frozen=True)
class _Matched:
    """An annotated case, and the series of the archive that its segmentation refers to."""

    case: Case
    image: Image
    series: Series


def send_annotations(
    workspace: OpenedWorkspace,
    server: DicomwebServer,
    query: Query,
    selection: Selection,
    *,
    actor: str = LOCAL,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> SendReport:
    """Store the annotations of the images that a query finds in the archive, each once.

    Parameters
    ----------
    dry_run : store nothing.
    progress : called with the number of studies done and of all.

    Raises
    ------
    InvalidInput, NotFound, Unavailable
        Nothing is annotated, a participant has no annotation, or the archive does not answer at all.
    """
    cases = _cases_by_series(workspace, selection)
    if not cases:
        raise InvalidInput(
            "no annotated image is known to come from DICOM; of images that were imported by an earlier version import the files or "
            "the studies once more"
        )
    pseudonyms, report = Pseudonyms(workspace.pseudonym_key()), SendReport()
    studies = server.studies(query)
    for done, study in enumerate(studies):
        if progress is not None:
            progress(done, len(studies))
        try:
            for matched in _match(server.series(study, query), cases, pseudonyms):
                _send(workspace, server, study, matched, report, actor=actor, dry_run=dry_run)
        except Unavailable as error:
            report.stopped = (
                f"{error}; {len(studies) - done} of {len(studies)} studies were not looked at. Start it again to go on: "
                "what was stored is left out"
            )
            return report
    if progress is not None:
        progress(len(studies), len(studies))
    return report


def _cases_by_series(workspace: OpenedWorkspace, selection: Selection) -> dict[str, list[tuple[Case, Image]]]:
    """The annotated cases by the token of each series that their images were made of."""
    found: dict[str, list[tuple[Case, Image]]] = {}
    for person in choose(workspace, selection).read():
        for case in person.cases:
            for image in case.images:
                token = image.examination.dicom_series
                if token and image.way is not Way.WITHOUT:
                    found.setdefault(token, []).append((case, image))
    return found


def _match(
    series: Sequence[Series], cases: dict[str, list[tuple[Case, Image]]], pseudonyms: Pseudonyms
) -> list[_Matched]:
    """Match series with cases: of the channels of a case, the one that its mask was drawn on where it is there."""
    chosen: dict[str, _Matched] = {}
    for one in series:
        for case, image in cases.get(pseudonyms.series(one.uid), ()):
            before = chosen.get(case.annotation.id)
            if before is None or (image.way is Way.ANNOTATED and before.image.way is not Way.ANNOTATED):
                chosen[case.annotation.id] = _Matched(case, image, one)
    return list(chosen.values())


def _send(
    workspace: OpenedWorkspace,
    server: DicomwebServer,
    study: Study,
    matched: _Matched,
    report: SendReport,
    *,
    actor: str,
    dry_run: bool,
) -> None:
    annotation = matched.case.annotation
    try:
        series, instance = segmentation_uids(annotation.id, workspace.scheme, matched.series.uid)
        if server.has(study, series, instance):
            report.present.append(annotation.id)
            return
        if not dry_run:
            server.store(_segmentation(workspace, server, matched), study)
            if not server.has(study, series, instance):
                raise Incomplete(
                    f"the DICOMweb server {server.name} took the segmentation, but does not list it afterwards; look at its log"
                )
            with workspace.catalog.begin() as session:
                audit.record(session, actor, "annotation.send", annotation.id, to=server.name)
        report.sent.append(annotation.id)
    except Incomplete as error:
        report.refused.append((annotation.id, str(error)))
    except Unavailable:
        raise
    except MrsegError as error:
        report.refused.append((annotation.id, str(error)))


def _segmentation(workspace: OpenedWorkspace, server: DicomwebServer, matched: _Matched) -> bytes:
    """Make the segmentation of a case, which refers to the series of the archive.

    Raises
    ------
    InvalidInput
        The series has other voxels or another grid than the image, or no structure has voxels.
    """
    examination, acquisition = matched.image.examination, matched.case.station.acquisition
    with workspace.scratch(SCRATCH) as folder:
        server.fetch(matched.series, folder)
        found = find_originals(workspace, [folder], {examination.id: examination}).get(examination.id)
        if found is None:
            raise InvalidInput(
                f"the series in the archive has changed since image {examination.id} was imported from it: its voxels or its grid "
                "differ, so that the segmentation would not fit; nothing was sent"
            )
        return make_dicom_segmentation(
            workspace, workspace.scheme, matched.case.annotation, acquisition, examination, found
        )
