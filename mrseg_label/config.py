"""Settings: ``mrseg.toml`` in the workspace, each key also as environment variable ``MRSEG_<KEY>``."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from mrseg_label.errors import ConfigurationError

CONFIG_FILE = "mrseg.toml"


class Settings(BaseSettings):
    """What an admin can set. The environment wins over the file; keys in the file are in capitals."""

    model_config = SettingsConfigDict(env_prefix="MRSEG_", extra="forbid", case_sensitive=False)

    database_url: str | None = Field(None, description="SQLAlchemy URL; SQLite in the workspace by default")
    round_size: int = Field(50, ge=1, description="newly annotated examinations that start a round")
    auto_round: bool = Field(True, description="start a round by itself after ROUND_SIZE annotations")
    training_profile: Literal["full", "fast", "tiny", "smoke"] = Field("full", description="how a round trains")
    bootstrap_sources: str = Field(
        "",
        description="source per sequence type for the bootstrap, such as 'T1=inverted,water=raw'; empty: by contrast",
    )
    prepare_ahead: int | None = Field(None, ge=0, description="drafts made ahead; 2 x ROUND_SIZE by default")
    lease_hours: float = Field(24.0, gt=0, description="how long a case stays with the reader it was handed to")
    review: Literal["off", "required"] = Field("off", description="whether a second reader confirms a correction")
    required_structures: str = Field(
        "", description="structures that every submission must cover, separated by commas; 'all' for the whole scheme"
    )
    auth: Literal["on", "off"] = Field("on", description="sign-in; off must be written out")
    token_hours: float = Field(10.0, gt=0, le=24 * 7, description="how long a sign-in lasts: a working day")
    app_password_days: float = Field(
        30.0, gt=0, description="how long app passwords work after the last sign-in through the identity provider"
    )
    trusted_proxies: str = Field(
        "", description="addresses and networks of proxies whose forwarding headers are believed, separated by commas"
    )
    tls_certificate: Path | None = Field(None, description="certificate (chain) of the server, PEM")
    tls_key: Path | None = Field(None, description="private key of the certificate, PEM")
    public_url: str | None = Field(None, description="address under which browsers reach the server, behind a proxy")
    oidc_issuer: str | None = Field(None, description="address of the hospital's identity provider (OpenID Connect)")
    oidc_client_id: str | None = Field(None, description="what the provider calls this server")
    oidc_client_secret: SecretStr | None = Field(None, description="secret that the provider shares with this server")
    oidc_scopes: str = Field("openid profile email", description="what the provider is asked for")
    oidc_name_claim: str = Field("preferred_username", description="claim that becomes the account's name")
    oidc_role_claim: str = Field(
        "realm_access.roles", description="claim that lists roles or groups; a dot leads into an object"
    )
    oidc_role_radiologist: str = Field("monailabel-annotator", description="its entry for radiologists")
    oidc_role_reviewer: str = Field("monailabel-reviewer", description="its entry for reviewers")
    oidc_role_admin: str = Field("monailabel-admin", description="its entry for admins")
    max_image_mb: int = Field(1024, ge=1, description="largest image that a reader uploads, decompressed, MB")
    max_upload_mb: int = Field(2048, ge=1, description="largest request body, MB")
    request_idle_seconds: float = Field(
        30.0, gt=0, le=3600, description="a request of which nothing came for so long, or no whole head, is given up"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    weights_path: Path | None = Field(None, description="folder of the published MRSegmentator weights")
    totalseg_weights_path: Path | None = Field(None, description="as TotalSegmentator has it; the stand-in by default")
    workers: int = Field(1, ge=0, description="worker processes for drafts that `serve` starts; one more does rounds")

    @property
    def drafts_ahead(self) -> int:
        """How many waiting examinations get a draft before anybody asks."""
        return 2 * self.round_size if self.prepare_ahead is None else self.prepare_ahead

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


class _TomlFile(TomlConfigSettingsSource):
    """The file's keys in any case, as keyword arguments of the settings."""

    def __call__(self) -> dict[str, Any]:
        return {key.lower(): value for key, value in self.toml_data.items()}


def load_settings(folder: Path, **overrides: Any) -> Settings:
    """Settings of the workspace in ``folder``; keyword arguments win over environment and file.

    Raises
    ------
    ConfigurationError
        A key is unknown or a value is not allowed; the message names both.
    """
    path = folder / CONFIG_FILE
    try:
        from_file = _TomlFile(Settings, path)() if path.is_file() else {}
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    environment = {key.removeprefix("MRSEG_").lower() for key in os.environ if key.startswith("MRSEG_")}
    kept = {key: value for key, value in from_file.items() if key not in environment}
    if "totalseg_weights_path" not in environment and os.environ.get("TOTALSEG_WEIGHTS_PATH"):
        kept["totalseg_weights_path"] = os.environ["TOTALSEG_WEIGHTS_PATH"]
    try:
        return Settings(**{**kept, **overrides})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']} (got {item['input']!r})"
            for item in error.errors()
        )
        raise ConfigurationError(f"settings in {path} or the environment cannot be used: {problems}") from error


def tls_files(settings: Settings) -> tuple[str | None, str | None]:
    """Return the certificate and the key to serve with, or None of both.

    Raises
    ------
    ConfigurationError
        One of the two is missing or they cannot be used together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None, None
    if certificate is None or key is None:
        raise ConfigurationError("TLS_CERTIFICATE and TLS_KEY belong together: set both, or neither behind a proxy")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigurationError(
            f"TLS_CERTIFICATE {certificate} and TLS_KEY {key} cannot be used: {error}; "
            "both are PEM files, the key without a password"
        ) from error
    return str(certificate), str(key)
