"""Import studies from an archive over DICOMweb: each is fetched into a closed folder, imported as a folder is, and removed.

A study is fetched as a whole, since the stations of a whole-body examination follow from all of its series. One whose
series and numbers of instances are what they were at an earlier import is left out without being fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, examinations
from mrseg_label.dicomweb import DicomwebServer, Query, Series, Study
from mrseg_label.dicomweb.server import Incomplete
from mrseg_label.errors import InvalidInput, Unavailable
from mrseg_label.files import make_folder
from mrseg_label.intake.cohort_names import cohort_of
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.files.discover import DicomFolder, Findings, FoundFile
from mrseg_label.intake.files.prepare import SCRATCH
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.pipeline import Progress
from mrseg_label.intake.service import check_options, import_findings
from mrseg_label.workspace import PSEUDONYM_KEY, Workspace

_NOT_OF_ARCHIVES = ("pattern", "csv", "orientation", "masks", "mask_labels", "reference")


@dataclass(frozen=True)
class ListedStudy:
    """A study of the archive that a query found.

    Attributes
    ----------
    series : those that the query asks for.
    known : number of examinations that an earlier import made of exactly these series; 0 where it is to be fetched.
    """

    study: Study
    series: tuple[Series, ...]
    known: int = 0

    def to_json(self) -> dict[str, Any]:
        """The object that ``import --dicomweb --dry-run --json`` prints: it has UIDs, which lists are made of."""
        return {
            "study": self.study.uid,
            "date": self.study.day,
            "description": self.study.description,
            "imported": self.known,
            "series": [
                {
                    "series": one.uid,
                    "modality": one.modality,
                    "description": one.description,
                    "instances": one.instances,
                }
                for one in self.series
            ],
        }


@dataclass(frozen=True)
class FetchOutcome:
    """What an import from an archive did.

    Attributes
    ----------
    stopped : why the archive could not be asked any further; empty where everything was.
    """

    report: ImportReport
    stopped: str = ""


def list_studies(workspace: OpenedWorkspace, server: DicomwebServer, query: Query) -> Iterator[ListedStudy]:
    """Yield what a query would fetch, study by study; nothing is fetched or stored.

    Raises
    ------
    InvalidInput, Unavailable
        The query finds too much, or the server does not answer.
    """
    pseudonyms = _pseudonyms(workspace, create=False)
    for study in server.studies(query):
        series = server.series(study, query)
        if series:
            token = _contents(server, study, series, pseudonyms) if pseudonyms else ""
            yield ListedStudy(study, tuple(series), _count_known(workspace, token))


def import_studies(
    workspace: OpenedWorkspace,
    server: DicomwebServer,
    query: Query,
    options: ImportOptions,
    progress: Progress | None = None,
) -> FetchOutcome:
    """Fetch and import the studies of a query, one after the other.

    Parameters
    ----------
    progress : called with the number of studies done and of all.

    Raises
    ------
    InvalidInput, Unavailable
        An option cannot be used, the query finds too much, or the server does not answer at all.
    """
    check_archive_options(options)
    report = ImportReport()
    studies = server.studies(query)
    pseudonyms = _pseudonyms(workspace, create=True)
    if pseudonyms is None:
        raise AssertionError
    with workspace.catalog.begin() as session:
        audit.record(session, options.actor, "import.dicomweb", server.name, studies=len(studies))
    for done, study in enumerate(studies):
        if progress is not None:
            progress(done, len(studies))
        try:
            _import_study(workspace, server, study, query, options, report, pseudonyms)
        except Incomplete as error:
            report.refuse(_shown(server, study, pseudonyms), f"{error}; nothing of this study was imported")
        except Unavailable as error:
            left = len(studies) - done
            return FetchOutcome(
                report,
                f"{error}; {left} of {len(studies)} studies were not imported. Start the same import again to go on: what was "
                "imported is left out",
            )
    if progress is not None:
        progress(len(studies), len(studies))
    return FetchOutcome(report)


def check_archive_options(options: ImportOptions) -> None:
    """Raise :class:`InvalidInput` where an option cannot be used, or has no meaning for an archive, which has no paths."""
    given = [name.replace("_", "-") for name in _NOT_OF_ARCHIVES if getattr(options, name)]
    if given:
        raise InvalidInput(
            f"--{given[0]} is about files and has no effect on DICOM of an archive; leave it out. Participants get "
            "pseudonyms, or the code that --participant gives"
        )
    check_options(options)


def _import_study(
    workspace: OpenedWorkspace,
    server: DicomwebServer,
    study: Study,
    query: Query,
    options: ImportOptions,
    report: ImportReport,
    pseudonyms: Pseudonyms,
) -> None:
    series = server.series(study, query)
    if not series:
        return
    contents = _contents(server, study, series, pseudonyms)
    # With a stated name, licence or cohort an import fills in what is missing, which takes the images.
    stated = options.participant or options.licence or options.cohort or options.evaluation_only
    known = 0 if stated else _count_known(workspace, contents)
    if known:
        report.unchanged += known
        return
    with workspace.scratch(SCRATCH) as scratch:
        findings = Findings(dicom=[_fetch(server, series, scratch)])
        import_findings(workspace, findings, options, report, cohort_of(options, ()))
    # Only now, when all of it is stored: an import that is killed before that fetches the study again.
    tokens = [pseudonyms.series(one.uid) for one in series]
    with workspace.catalog.begin() as session:
        for examination in examinations.of_dicom_series(session, tokens):
            examination.dicom_study = contents


def _fetch(server: DicomwebServer, series: Sequence[Series], scratch: Path) -> DicomFolder:
    """Fetch series into a folder, one folder each; the names of all of them say nothing."""
    shown = f"DICOMweb {server.name}"
    fetched = DicomFolder(FoundFile(scratch, shown, PurePosixPath(server.name)))
    for place, one in enumerate(series, start=1):
        name = f"series-{place}"
        make_folder(scratch / name)
        fetched.files += [
            FoundFile(file, f"{shown}/{name}/{file.name}", PurePosixPath(name, file.name))
            for file in server.fetch(one, scratch / name)
        ]
    return fetched


def _contents(server: DicomwebServer, study: Study, series: Sequence[Series], pseudonyms: Pseudonyms) -> str:
    """What stands for the contents of a study; where the server states no numbers of instances, they are counted."""
    counts = {one.uid: one.instances if one.instances is not None else len(server.instances(one)) for one in series}
    return pseudonyms.contents(study.uid, counts)


def _count_known(workspace: OpenedWorkspace, contents: str) -> int:
    if not contents:
        return 0
    with workspace.catalog.read() as session:
        return examinations.of_dicom_study(session, contents)


def _pseudonyms(workspace: Workspace, *, create: bool) -> Pseudonyms | None:
    if not create and not (workspace.root / PSEUDONYM_KEY).exists():
        return None
    return Pseudonyms(workspace.pseudonym_key())


def _shown(server: DicomwebServer, study: Study, pseudonyms: Pseudonyms) -> str:
    return f"DICOMweb {server.name} (study {pseudonyms.token('study of archive', study.uid)})"
