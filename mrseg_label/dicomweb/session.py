"""The HTTP session with a DICOMweb server: certificates checked, sign-in, limits, and what went wrong in plain words."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from mrseg_label import __version__
from mrseg_label.dicomweb_settings import DicomwebSettings, check_dicomweb_address, check_dicomweb_settings, origin_of
from mrseg_label.errors import ConfigurationError, TooLarge, Unavailable
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.notification_settings import check_private

# Seconds until a connection is there, and without a byte: an archive may have to fetch a study from tape first.
TIMEOUT = (10.0, 180.0)
MAX_LIST_BYTES = 64 * 1024**2
_TAIL = 256
# Worth another try: too many requests, and what is over after a restart or a moment.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)

# They write addresses, and with them UIDs and accession numbers, into logs.
for _name in ("dicomweb_client", "urllib3"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class Interrupted(Exception):
    """An answer ended early or was incomplete; another try may get the rest."""


class Guard:
    """Watches what a server sends: it is asked to go on, and stopped where it is too much.

    Attributes
    ----------
    pulse : called with every piece that arrives; it may raise.
    since : bytes since the last instance, which :meth:`instance_done` resets.
    """

    def __init__(self, pulse: Callable[[], None]) -> None:
        self.pulse = pulse
        self.since = 0

    def instance_done(self) -> None:
        """Begin to count for the next instance."""
        self.since = 0

    def watch(self, response: requests.Response, *_: Any, **__: Any) -> requests.Response:
        """Have the content of a response counted while it arrives, and its end checked; a hook of ``requests``."""
        content = response.iter_content
        kind = response.headers.get("Content-Type", "")
        limit = MAX_VOXEL_BYTES if kind.lower().startswith(("multipart/", "application/dicom;")) else MAX_LIST_BYTES
        if kind.lower().strip() == "application/dicom":
            limit = MAX_VOXEL_BYTES
        self.since = 0

        def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
            tail = b""
            for piece in content(*arguments, **options):
                self.pulse()
                self.since += len(piece)
                if self.since > limit:
                    raise TooLarge(f"the DICOMweb server sends more than {limit:,} bytes in one piece")
                tail = (tail + piece)[-_TAIL:]
                yield piece
            # Some servers close the connection at the end without stating a length; then this alone says that it is the end.
            boundary = _boundary(kind)
            if boundary and response.ok and not tail.rstrip().endswith(f"--{boundary}--".encode()):
                raise Interrupted("the answer ended early")

        response.iter_content = watched  # type: ignore[method-assign]
        return response


class _Adapter(HTTPAdapter):
    """Sends requests with a time limit; the client of the library states none."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        request.headers.pop("Host", None)  # which the library states without the port
        options["timeout"] = options.get("timeout") or TIMEOUT
        return super().send(request, **options)


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def address_of(settings: DicomwebSettings, url: str | None = None) -> str:
    """The address of the server: the stated one, else DICOMWEB_URL.

    Raises
    ------
    ConfigurationError
        There is none, it cannot be used, or the sign-in in the settings is for another server.
    """
    check_dicomweb_settings(settings)
    if url is None and settings.dicomweb_url is None:
        raise ConfigurationError(
            "no DICOMweb server is configured; set DICOMWEB_URL to its address, such as "
            "https://pacs.hospital.example/dicom-web (docs/dicomweb.md)"
        )
    address = url or settings.dicomweb_url or ""
    check_dicomweb_address(address, "the address of the DICOMweb server")
    has_sign_in = settings.dicomweb_user or settings.dicomweb_token or settings.dicomweb_certificate
    if has_sign_in and settings.dicomweb_url and origin_of(address) != origin_of(settings.dicomweb_url):
        raise ConfigurationError(
            f"the sign-in in the settings is for {urlsplit(settings.dicomweb_url).netloc} (DICOMWEB_URL) and is not sent to "
            f"{urlsplit(address).netloc}; change DICOMWEB_URL, or leave it out where the address is stated each time"
        )
    return address.rstrip("/")


def open_session(settings: DicomwebSettings, address: str, guard: Guard) -> requests.Session:
    """Open a session: no redirects, no proxy of the environment, certificates checked.

    Raises
    ------
    ConfigurationError
        The address is http and leads out of the private network.
    Unavailable
        The name of the server is not known.
    """
    parts = urlsplit(address)
    if parts.scheme == "http":
        try:
            check_private(parts.hostname or "", "DICOMWEB_URL")
        except OSError as error:
            raise Unavailable(f"the DICOMweb server {parts.hostname} is not known in this network: {error}") from error
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.verify = _certificates(settings)
    session.headers["User-Agent"] = f"mrseg-label/{__version__}"
    session.hooks["response"] = [guard.watch]
    if settings.dicomweb_user is not None and settings.dicomweb_password is not None:
        # As bytes: requests would write letters beyond Latin-1 not at all.
        session.auth = HTTPBasicAuth(
            settings.dicomweb_user.encode(), settings.dicomweb_password.get_secret_value().encode()
        )
    elif settings.dicomweb_token is not None:
        session.auth = _Bearer(settings.dicomweb_token.get_secret_value())
    if settings.dicomweb_certificate is not None:
        files = (settings.dicomweb_certificate, settings.dicomweb_key or settings.dicomweb_certificate)
        session.cert = (str(files[0]), str(files[1]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def reason_of(error: Exception) -> tuple[str, bool, float]:
    """Say what went wrong, without the address that was asked for, which names a study.

    Returns
    -------
    The reason, whether another try may help, and how many seconds the server asks to wait.
    """
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _of_status(error.response)
    if isinstance(error, Interrupted):
        return str(error), True, 0.0
    if isinstance(error, requests.TooManyRedirects):
        target = error.response.headers.get("Location", "") if error.response is not None else ""
        where = f" to {urlsplit(target).netloc}" if urlsplit(target).netloc else ""
        return f"it redirects{where}; set DICOMWEB_URL to the address that answers itself", False, 0.0
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"its certificate is not accepted, or it does not accept this server's ({_innermost(error)}); set DICOMWEB_CA to the "
            "certificate of the hospital's authority, or DICOMWEB_CERTIFICATE",
            False,
            0.0,
        )
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT[1]:.0f} seconds", True, 0.0
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "the answer ended early", True, 0.0
    if isinstance(error, requests.ConnectionError):
        return f"it cannot be reached ({_innermost(error)})", True, 0.0
    return (
        "it answers with something that is not DICOMweb; is DICOMWEB_URL the address of its DICOMweb service (of Orthanc it "
        "ends in /dicom-web)?",
        False,
        0.0,
    )


def _of_status(response: requests.Response) -> tuple[str, bool, float]:
    status = response.status_code
    if status in (401, 403):
        return (
            f"it refuses the sign-in (status {status}); set DICOMWEB_USER and DICOMWEB_PASSWORD, DICOMWEB_TOKEN, or "
            "DICOMWEB_CERTIFICATE",
            False,
            0.0,
        )
    if status in (404, 405, 406, 501):
        return (
            f"it does not know what was asked for (status {status}); is DICOMWEB_URL the address of its DICOMweb service (of "
            "Orthanc it ends in /dicom-web)?",
            False,
            0.0,
        )
    after = response.headers.get("Retry-After", "")
    return f"it answers with the status {status}", status in TRANSIENT, float(after) if after.isdigit() else 0.0


def _innermost(error: BaseException) -> str:
    """The reason of a failed connection, such as ``Connection refused``, without the address in the text around it."""
    found: BaseException = error
    while True:
        inner = getattr(found, "reason", None) or found.__cause__ or (found.args[0] if found.args else None)
        if not isinstance(inner, BaseException):
            break
        found = inner
    if isinstance(found, ssl.SSLCertVerificationError):
        return found.verify_message
    if isinstance(found, OSError) and found.strerror:
        return found.strerror
    return str(found).rpartition(": ")[2][:200] or type(found).__name__


def _certificates(settings: DicomwebSettings) -> str | bool:
    """What the server's certificate is checked against; what the hospital added to the system counts too."""
    if settings.dicomweb_ca is not None:
        return str(settings.dicomweb_ca)
    known = ssl.get_default_verify_paths()
    return next((path for path in (known.cafile, known.capath) if path and Path(path).exists()), True)


def _boundary(kind: str) -> str:
    if not kind.lower().startswith("multipart/"):
        return ""
    for part in kind.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip('"')
    return ""
