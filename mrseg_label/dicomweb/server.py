"""A DICOMweb server: find studies and series, fetch a series whole. Tries again where the connection breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pydicom
import requests
from dicomweb_client import DICOMwebClient

from mrseg_label.dicomweb.query import Query, is_uid
from mrseg_label.dicomweb.session import Guard, Interrupted, address_of, open_session, reason_of
from mrseg_label.dicomweb.studies import Series, Study, series_of, uid_of
from mrseg_label.dicomweb_settings import DicomwebSettings
from mrseg_label.errors import InvalidInput, TooLarge, Unavailable
from mrseg_label.imaging.dicom.files import parse
from mrseg_label.private import create

ATTEMPTS = 5
PAGE = 500
MAX_STUDIES = 20_000  # that one query may find; a list of identifiers may find as many as it has
MAX_INSTANCES = 200_000  # of a series
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_LONGEST_PAUSE = 60.0
_CHUNK = 4 * 1024**2

_Found = TypeVar("_Found")


class Incomplete(Unavailable):
    """A series did not arrive whole in any attempt, although the server answers."""


class DicomwebServer:
    """The server of the settings, or the one at another address.

    Parameters
    ----------
    url : address; DICOMWEB_URL by default.
    pulse : called again and again while something is awaited; it may raise to end it.
    pause_seconds : before the second attempt; each further one waits twice as long.

    Raises
    ------
    ConfigurationError, Unavailable
        The address or the settings cannot be used.
    """

    def __init__(
        self,
        settings: DicomwebSettings,
        url: str | None = None,
        *,
        pulse: Callable[[], None] = lambda: None,
        pause_seconds: float = 1.0,
    ) -> None:
        self.address = address_of(settings, url)
        self.name = urlsplit(self.address).netloc
        self._pulse, self._pause = pulse, pause_seconds
        self._guard = Guard(pulse)
        self._session = open_session(settings, self.address, self._guard)
        self._client = DICOMwebClient(self.address, session=self._session, chunk_size=_CHUNK)
        self._client.set_http_retry_params(retry=False)  # here, where broken streams are tried again too

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def studies(self, query: Query) -> list[Study]:
        """Find the studies of a query, by date.

        Raises
        ------
        InvalidInput
            There are more than MAX_STUDIES.
        Unavailable
            The server does not answer, or with something else.
        """
        found: dict[str, Study] = {}
        for filters in _filters(query):
            for study in self._studies(filters):
                if query.covers(study.date):
                    found[study.uid] = study
                if not query.identifiers and len(found) > MAX_STUDIES:
                    raise InvalidInput(
                        f"{self.name} has more than {MAX_STUDIES:,} such studies; narrow the dates, and import part by part"
                    )
        if query.identifiers:
            found = {study.uid: study for study in self._listed(query) if query.covers(study.date)}
        return sorted(found.values(), key=lambda study: (study.date, study.uid))

    def series(self, study: Study, query: Query) -> list[Series]:
        """Find the series of a study that a query asks for; raises as :meth:`studies` does."""
        fields = ["SeriesDescription", "NumberOfSeriesRelatedInstances", "Modality"]
        items = self._search(self._client.search_for_series, study.uid, fields=fields)
        found = [series_of(item, study.uid) for item in items]
        found = [series for series in found if series.modality in query.modalities]
        named = set(query.identifiers)
        if named and not named & {study.uid, study.accession}:
            found = [series for series in found if series.uid in named]
        if query.description and not query.matches(study.description):
            found = [series for series in found if query.matches(series.description)]
        return sorted(found, key=lambda series: (series.number or 0, series.uid))

    def instances(self, series: Series) -> set[str]:
        """SOP instance UIDs of a series; raises as :meth:`studies` does."""
        items = self._search(self._client.search_for_instances, series.study, series.uid)
        return {uid_of(item, "00080018") for item in items}

    def fetch(self, series: Series, folder: Path) -> list[Path]:
        """Fetch all instances of a series into a folder, as the server has them.

        What arrived before a connection broke is kept for the next attempt.

        Raises
        ------
        Incomplete
            The series did not arrive whole, although the server answers.
        Unavailable
            The server does not answer any more.
        """
        expected = self.instances(series)
        received: dict[str, Path] = {}
        path = f"studies/{series.study}/series/{series.uid}"

        def receive() -> None:
            missing = sorted(expected - received.keys())
            few = bool(received) and len(missing) <= len(expected) // 2
            for part in [f"{path}/instances/{uid}" for uid in missing] if few else [path]:
                for data in self._parts(part):
                    uid = _check(data, series)
                    if uid in expected and uid not in received:
                        file = folder / f"{len(received):06d}.dcm"
                        create(file)
                        file.write_bytes(data)
                        received[uid] = file
            lacking = len(expected - received.keys())
            if lacking:
                raise Interrupted(f"{lacking} of the {len(expected)} instances of a series did not arrive")

        self._try(receive)
        return list(received.values())

    def has(self, study: Study, series: str, instance: str) -> bool:
        """Whether the archive has an instance of a study; raises as :meth:`studies` does."""
        listed = self._search(self._client.search_for_series, study.uid, search_filters={"SeriesInstanceUID": series})
        if series not in {uid_of(item, "0020000E") for item in listed}:
            return False
        return instance in self.instances(Series(study.uid, series, "", ""))

    def store(self, data: bytes, study: Study) -> None:
        """Store an object in a study of the archive.

        Raises
        ------
        Unavailable
            The server does not take it, or does not answer.
        """
        ds = pydicom.dcmread(BytesIO(data))
        self._try(lambda: self._client.store_instances([ds], study.uid))

    def _listed(self, query: Query) -> Iterator[Study]:
        """Find the studies that a list of identifiers names."""
        for identifier in query.identifiers:
            if not is_uid(identifier):
                found = self._studies({"AccessionNumber": identifier})
                yield from (study for study in found if study.accession == identifier)
                continue
            studies = [study for study in self._studies({"StudyInstanceUID": identifier}) if study.uid == identifier]
            if not studies:
                filters = {"SeriesInstanceUID": identifier}
                items = self._search(self._client.search_for_series, search_filters=filters)
                holders = {one.study for one in map(series_of, items) if one.uid == identifier}
                for uid in sorted(holders):
                    studies += [study for study in self._studies({"StudyInstanceUID": uid}) if study.uid == uid]
            yield from studies

    def _studies(self, filters: dict[str, str]) -> Iterator[Study]:
        fields = ["StudyDescription", "AccessionNumber", "StudyDate"]
        yield from map(Study.of, self._search(self._client.search_for_studies, fields=fields, search_filters=filters))

    def _search(self, search: Callable[..., list[Any]], *of: str, **what: Any) -> Iterator[Any]:
        """Yield the answers to a search, page by page; a server that ignores the offset is not asked for ever."""
        seen: set[str] = set()

        def turn() -> list[tuple[str, Any]]:
            page = search(*of, **what, limit=PAGE, offset=len(seen))
            return [(_key(item), item) for item in page]

        while len(seen) < MAX_INSTANCES:
            fresh = [(key, item) for key, item in self._try(turn) if key not in seen]
            seen |= {key for key, _ in fresh}
            yield from (item for _, item in fresh)
            if not fresh:
                return

    def _parts(self, path: str) -> Iterator[bytes]:
        """Yield the files of an answer while it arrives."""
        with self._session.get(f"{self.address}/{path}", headers={"Accept": _ACCEPT}, stream=True) as reply:
            if reply.status_code in (404, 410):
                raise Interrupted("it does not have what it lists of a series")
            reply.raise_for_status()
            if reply.headers.get("Content-Type", "").lower().startswith("application/dicom"):
                yield reply.content
                return
            # A part is complete where the next boundary begins; that the last one is, the guard checks.
            for part in self._client._decode_multipart_message(reply, stream=True):
                self._guard.instance_done()
                yield bytes(part)

    def _try(self, run: Callable[[], _Found]) -> _Found:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return run()
            except TooLarge as error:
                raise Unavailable(f"the DICOMweb server {self.name}: {error}") from error
            except (Interrupted, requests.RequestException, ValueError, KeyError) as error:
                reason, transient, seconds = reason_of(error)
                if not transient or attempt == ATTEMPTS:
                    tried = f", tried {attempt} times" if transient else ""
                    kind = Incomplete if isinstance(error, Interrupted) else Unavailable
                    raise kind(f"the DICOMweb server {self.name}: {reason}{tried}") from error
            self._wait(max(self._pause * 2 ** (attempt - 1), min(seconds, _LONGEST_PAUSE)))
        raise AssertionError

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._pulse()
            time.sleep(min(left, 0.5))


def _filters(query: Query) -> list[dict[str, str]]:
    """The searches that a query takes, one for each modality: not every server takes several values."""
    if query.identifiers:
        return []
    dates = {"StudyDate": query.dates} if query.dates else {}
    return [{**dates, "ModalitiesInStudy": modality} for modality in query.modalities]


def _key(item: object) -> str:
    """What tells the items of an answer apart: the most special of their UIDs."""
    for tag in ("00080018", "0020000E", "0020000D"):
        if isinstance(item, dict) and tag in item:
            return uid_of(item, tag)
    raise ValueError("no UID")


def _check(data: bytes, series: Series) -> str:
    """Check that a file arrived whole and is of the series; returns its SOP instance UID.

    Raises
    ------
    Interrupted
        It is not; another attempt may get it whole.
    """
    try:
        ds = parse(data)
    except InvalidInput as error:
        raise Interrupted(f"an instance arrived damaged: {error}") from error
    if str(ds.get("SeriesInstanceUID", "")) != series.uid:
        raise Interrupted("an instance of another series arrived")
    if "PixelData" in ds and not ds.file_meta.TransferSyntaxUID.is_compressed:
        bits = int(ds.get("BitsAllocated", 0) or 0) * int(ds.get("SamplesPerPixel", 1) or 1)
        frames = int(ds.get("NumberOfFrames", 1) or 1)
        promised = int(ds.get("Rows", 0) or 0) * int(ds.get("Columns", 0) or 0) * frames * bits // 8
        if len(ds.PixelData) < promised:
            raise Interrupted("an instance arrived without all of its voxels")
    return str(ds.get("SOPInstanceUID", ""))
