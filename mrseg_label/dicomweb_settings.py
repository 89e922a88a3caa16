"""Settings of the DICOMweb server: its address, and how to sign in there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from mrseg_label.errors import ConfigurationError

_EXAMPLE = "https://pacs.hospital.example/dicom-web"


class DicomwebSettings(BaseSettings):
    """Which DICOMweb server images are fetched from and segmentations are stored on."""

    dicomweb_url: str | None = Field(
        None, description="address of the DICOMweb server (QIDO-RS, WADO-RS, STOW-RS) that images are imported from"
    )
    dicomweb_user: str | None = Field(None, description="account at the DICOMweb server, if it wants a password")
    dicomweb_password: SecretStr | None = Field(None, description="password of that account")
    dicomweb_token: SecretStr | None = Field(None, description="bearer token for the DICOMweb server, if it wants one")
    dicomweb_certificate: Path | None = Field(
        None, description="certificate that the DICOMweb server knows this one by, PEM"
    )
    dicomweb_key: Path | None = Field(None, description="private key of DICOMWEB_CERTIFICATE, PEM")
    dicomweb_ca: Path | None = Field(
        None,
        description="certificates that the DICOMweb server's own is checked against, PEM; those of the system by default",
    )


def check_dicomweb_settings(settings: DicomwebSettings) -> None:
    """Check the settings of the DICOMweb server without asking it.

    Raises
    ------
    ConfigurationError
        One of them cannot work; the message names it, but no secret.
    """
    if settings.dicomweb_url is not None:
        check_dicomweb_address(settings.dicomweb_url, "DICOMWEB_URL")
    if (settings.dicomweb_user is None) != (settings.dicomweb_password is None):
        raise ConfigurationError(
            "DICOMWEB_USER and DICOMWEB_PASSWORD belong together and only one is set; set both, or neither"
        )
    if settings.dicomweb_user is not None and settings.dicomweb_token is not None:
        raise ConfigurationError("DICOMWEB_USER and DICOMWEB_TOKEN are two ways to sign in; set one of them")
    token = settings.dicomweb_token
    if token is not None and not (token.get_secret_value().isascii() and token.get_secret_value().isprintable()):
        raise ConfigurationError("DICOMWEB_TOKEN has characters that no bearer token has; copy it once more")
    if settings.dicomweb_key is not None and settings.dicomweb_certificate is None:
        raise ConfigurationError("DICOMWEB_KEY is set, but not DICOMWEB_CERTIFICATE; set both, or neither")
    for key in ("dicomweb_certificate", "dicomweb_key", "dicomweb_ca"):
        path: Path | None = getattr(settings, key)
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{key.upper()}: there is no file {path}")


def check_dicomweb_address(address: str, name: str) -> None:
    """Raise :class:`ConfigurationError` unless this is an http or https address without a password or a query.

    Parameters
    ----------
    name : of the setting or option that has the address.
    """
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        extra = parts.query or parts.fragment or "@" in parts.netloc
    except ValueError:
        fine, extra = False, ""
    if not fine or extra or not address.isprintable() or " " in address:
        shown = "" if "@" in address else f" {address[:200]!r}"
        raise ConfigurationError(
            f"{name}{shown} is not an address such as {_EXAMPLE}, without a name, a password or a query in it; set "
            "DICOMWEB_USER and DICOMWEB_PASSWORD, or DICOMWEB_TOKEN, to sign in"
        )


def origin_of(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
