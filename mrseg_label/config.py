"""Settings: ``mrseg.toml`` in the workspace, each of whose keys the environment variable ``MRSEG_<KEY>`` overrides."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from mrseg_label.clean_up_settings import CleanUpSettings
from mrseg_label.dicomweb_settings import DicomwebSettings
from mrseg_label.errors import ConfigurationError
from mrseg_label.notification_settings import NotificationSettings
from mrseg_label.reading_settings import ReadingSettings
from mrseg_label.training_settings import TrainingSettings

CONFIG_FILE = "mrseg.toml"
_PREFIX = "MRSEG_"
_TABLES = ("training", "clean_up")
# For a service named mrseg, and for mrseg-anything, every container gets such variables.
_OF_KUBERNETES = re.compile(r"(.+_)?(service_(host|port)(_.+)?|port(_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)?)")


class Settings(TrainingSettings, CleanUpSettings, NotificationSettings, ReadingSettings, DicomwebSettings):
    """The settings of a workspace. The environment overrides the file, whose keys are in capitals."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", case_sensitive=False)

    database_url: str | None = Field(None, description="URL of the database; SQLite in the workspace by default")
    database_password: SecretStr | None = Field(
        None, description="password of the database, where it shall not stand in its URL"
    )
    round_size: int = Field(50, ge=1, description="number of newly annotated cases that starts a round")
    round_counts: Literal["corrections", "examinations"] = Field(
        "corrections", description="what ROUND_SIZE counts: corrected cases, or all their images that carry a mask"
    )
    auto_round: bool = Field(True, description="start rounds automatically, every ROUND_SIZE cases")
    training_profile: Literal["full", "fast", "tiny", "smoke"] = Field(
        "full", description="how rounds train: nnU-Net's own settings, or shorter ones"
    )
    promotion: Literal["better", "clear", "manual"] = Field(
        "better", description="when a round's model makes the drafts: if its mean is better, if clearly so, or never"
    )
    promotion_margin: float = Field(
        0.05, ge=0, le=1, description="DSC by which no group of structures may be worse for a model to be promoted"
    )
    promotion_draft_advantage: float = Field(
        0.055,
        ge=0,
        le=0.2,
        description="DSC by which a label favours the model whose draft it was corrected from, which a promotion takes off",
    )
    presegmentation: Literal["on", "off"] = Field(
        "on", description="whether models make drafts; if off, readers start from empty masks and no rounds are trained"
    )
    bootstrap_sources: str = Field(
        "",
        description="what makes the first drafts of each sequence, such as 'T1=inverted,water=total_mr'; by contrast if empty",
    )
    mixture: str = Field(
        "bootstrap, previous",
        description="sources that may draft a structure in place of the present model where annotations show that they need less correction",
    )
    prepare_ahead: int | None = Field(
        None, ge=0, description="number of drafts to make ahead; 2 x ROUND_SIZE by default"
    )
    audit_annotations: Literal["on", "off"] = Field(
        "on", description="whether each promoted model is compared with the annotations so far, to find wrong ones"
    )
    lease_hours: float = Field(24.0, gt=0, description="hours for which a case stays assigned to a reader")
    pause_minutes: float = Field(
        120.0, gt=0, description="minutes without any request after which a reader is taken to have made a pause"
    )
    review: Literal["off", "required"] = Field("off", description="whether a second reader must accept each annotation")
    required_structures: str = Field(
        "",
        description="structures that every submission must have a segment for, separated by commas; 'all' for the whole scheme",
    )
    auth: Literal["on", "off"] = Field(
        "on", description="whether users must sign in; if off, only this machine is answered"
    )
    token_hours: float = Field(10.0, gt=0, le=24 * 7, description="hours until a sign-in expires")
    app_password_days: float = Field(
        30.0, gt=0, description="days for which app passwords work after the last sign-in at the identity provider"
    )
    trusted_proxies: str = Field(
        "", description="addresses and networks of proxies whose forwarding headers are trusted, separated by commas"
    )
    tls_certificate: Path | None = Field(None, description="certificate of the server with its chain, PEM")
    tls_key: Path | None = Field(None, description="private key of the certificate, PEM")
    public_url: str | None = Field(
        None, description="address at which browsers reach the server, if it is behind a proxy"
    )
    oidc_issuer: str | None = Field(None, description="address of the hospital's identity provider (OpenID Connect)")
    oidc_client_id: str | None = Field(None, description="id of this server at the identity provider")
    oidc_client_secret: SecretStr | None = Field(None, description="secret of this server at the identity provider")
    oidc_scopes: str = Field(
        "openid profile email", description="scopes to request from the identity provider, separated by spaces"
    )
    oidc_name_claim: str = Field("preferred_username", description="claim with the name of the account")
    oidc_role_claim: str = Field(
        "realm_access.roles", description="claim with the roles or groups; a dot selects a field of an object"
    )
    oidc_role_radiologist: str = Field("monailabel-annotator", description="entry of that claim for radiologists")
    oidc_role_reviewer: str = Field("monailabel-reviewer", description="entry of that claim for reviewers")
    oidc_role_admin: str = Field("monailabel-admin", description="entry of that claim for admins")
    max_image_mb: int = Field(1024, ge=1, description="largest image that a reader can upload, MB uncompressed")
    max_upload_mb: int = Field(2048, ge=1, description="largest request body, MB")
    request_idle_seconds: float = Field(
        30.0, gt=0, le=3600, description="seconds without data after which a request is abandoned"
    )
    device: str = Field("auto", description="where networks run: auto, cpu, cuda or cuda:N")
    weights_path: Path | None = Field(None, description="folder of the published MRSegmentator weights")
    totalseg_weights_path: Path | None = Field(
        None, description="folder of TotalSegmentator's weights; the stand-in by default"
    )
    shared_with_group: bool = Field(
        False, description="whether the group of the workspace's folder may read and write it too"
    )
    log_format: Literal["text", "json"] = Field("text", description="form of the logs: lines of text, or JSON objects")
    dask_scheduler: str | None = Field(None, description="address of a Dask scheduler that places work on machines")
    trainings_per_gpu: int = Field(1, ge=1, description="trainings that may share a GPU")
    drafts_per_gpu: int = Field(1, ge=1, description="workers that may make drafts on one GPU at the same time")
    drafts_during_training: Literal["cpu", "wait", "share"] = Field(
        "cpu", description="where drafts are made while trainings hold every GPU: on the CPU, later, or beside them"
    )
    stall_minutes: float = Field(
        30.0, gt=0, description="minutes without progress after which a training or a draft is ended and tried again"
    )
    ensemble_drafts: Literal["all", "best"] = Field(
        "all", description="which networks of a version with several folds make drafts: all of them, or the best one"
    )
    workers: int = Field(1, ge=0, description="worker processes for drafts that serve starts, with more for rounds")
    round_workers: int = Field(
        1, ge=1, description="worker processes for rounds; so many folds of a round train at the same time"
    )

    @property
    def mixed_sources(self) -> list[str]:
        """The names in MIXTURE, each once; none where no drafts are made."""
        if self.presegmentation == "off":
            return []
        return list(dict.fromkeys(part for part in re.split(r"[,;\s]+", self.mixture) if part))

    @property
    def presegmentations_ahead(self) -> int:
        """Number of waiting cases that get a pre-segmentation before a reader requests one."""
        if self.presegmentation == "off":
            return 0
        return 2 * self.round_size if self.prepare_ahead is None else self.prepare_ahead

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


class _TomlFile(TomlConfigSettingsSource):
    """The file's keys in any case, as keyword arguments of the settings; those of a table have its name before them."""

    def __call__(self) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        for key, value in self.toml_data.items():
            if key.lower() in _TABLES and isinstance(value, dict):
                keys |= {f"{key.lower()}_{name.lower()}": inner for name, inner in value.items()}
            else:
                keys[key.lower()] = value
        return keys


def load_settings(folder: Path, **overrides: Any) -> Settings:
    """Load the settings of the workspace in ``folder``; keyword arguments override environment and file.

    A variable ``MRSEG_<KEY>_FILE`` names a file that holds the value, as containers and systemd pass secrets on.

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
    environment = {key[len(_PREFIX) :].lower() for key in os.environ if key.upper().startswith(_PREFIX)}
    from_named_files = _read_named_files(environment)
    environment = {*environment.difference(f"{key}_file" for key in from_named_files), *from_named_files}
    _refuse_unknown([*from_file], f"in {path}", "")
    _refuse_unknown([key for key in environment if not _is_foreign(key)], "in the environment", _PREFIX)
    kept = {key: value for key, value in from_file.items() if key not in environment}
    if "totalseg_weights_path" not in environment and os.environ.get("TOTALSEG_WEIGHTS_PATH"):
        kept["totalseg_weights_path"] = os.environ["TOTALSEG_WEIGHTS_PATH"]
    try:
        return Settings(**{**kept, **from_named_files, **overrides})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']} (got {item['input']!r})"
            for item in error.errors()
        )
        raise ConfigurationError(
            f"settings in {path} or the environment cannot be used: {problems}; docs/configuration.md lists the keys"
        ) from error


def nearest_setting(key: str) -> str | None:
    """Return the setting whose name is nearest to an unknown key, in capitals; None if none is near."""
    return next(iter(get_close_matches(key.upper(), [name.upper() for name in Settings.model_fields], 1, 0.7)), None)


def _read_named_files(environment: set[str]) -> dict[str, str]:
    """Read the files that variables ``MRSEG_<KEY>_FILE`` name: key to content, without white space around it."""
    values = {}
    for key in (name.removesuffix("_file") for name in environment if name.endswith("_file")):
        if key not in Settings.model_fields:
            continue
        variable = f"{_PREFIX}{key.upper()}"
        if key in environment:
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set; remove one of them")
        path = next(value for name, value in os.environ.items() if name.upper() == f"{variable}_FILE")
        try:
            values[key] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{variable}_FILE names {path}, which cannot be read: {error}") from error
    return values


def _refuse_unknown(keys: list[str], where: str, prefix: str) -> None:
    unknown = sorted(key for key in keys if key.lower() not in Settings.model_fields)
    if not unknown:
        return
    nearest = {key: nearest_setting(key) for key in unknown}
    named = ", ".join(
        f"{prefix}{key.upper()}" + (f" (did you mean {prefix}{near}?)" if near else "") for key, near in nearest.items()
    )
    raise ConfigurationError(f"there is no such setting: {named} {where}; docs/configuration.md lists the keys")


def _is_foreign(key: str) -> bool:
    """Whether a variable ``MRSEG_<key>`` is no setting, but ours otherwise or one that Kubernetes makes for a service."""
    return key == "workspace" or _OF_KUBERNETES.fullmatch(key) is not None


def tls_files(settings: Settings) -> tuple[str | None, str | None]:
    """Return the certificate and the key to serve HTTPS with, or None for both to serve HTTP.

    Raises
    ------
    ConfigurationError
        One of the two is missing, or they cannot be used together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None, None
    if certificate is None or key is None:
        raise ConfigurationError(
            "TLS_CERTIFICATE and TLS_KEY belong together and only one is set; set both, or neither behind a proxy"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigurationError(
            f"TLS_CERTIFICATE {certificate} and TLS_KEY {key} cannot be used: {error}; "
            "give two PEM files that belong together, the key without a password"
        ) from error
    return str(certificate), str(key)


def trusted_proxies(text: str) -> list[str]:
    """Parse TRUSTED_PROXIES: addresses and networks, separated by commas.

    Raises
    ------
    ConfigurationError
        An entry is neither, or covers every address, so that anyone could forge a forwarding header.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        try:
            network = ipaddress.ip_network(part)
        except ValueError as error:
            raise ConfigurationError(
                f"TRUSTED_PROXIES: {part!r} is not an address or network such as 10.1.2.3 or 10.1.2.0/24 ({error})"
            ) from error
        if network.prefixlen == 0:
            raise ConfigurationError(f"TRUSTED_PROXIES: {part!r} covers every address; name the proxies")
    return found
