"""The checks of settings that a server and a worker pass before they start, and that ``doctor`` repeats.

A wrong setting is told to whoever starts the program, and not to the reader whose request needs it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches

from mrseg_label.accounts.oidc.settings import check_sign_in_settings
from mrseg_label.cluster import check_address, check_shared_database, is_open_to_the_network
from mrseg_label.config import Settings, tls_files, trusted_proxies
from mrseg_label.dicomweb_settings import check_dicomweb_settings
from mrseg_label.errors import ConfigurationError, MrsegError, Unavailable
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.nnunet.environment import parse_device
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.notification_settings import check_notification_settings
from mrseg_label.presegmentation.installed import require_network
from mrseg_label.presegmentation.mrsegmentator import find_mrsegmentator
from mrseg_label.presegmentation.sources import DEFAULT_PREPARATIONS, networks_in_use, parse_sources
from mrseg_label.segments.names import required_structures
from mrseg_label.workspace import Workspace

_TIMEOUT_SECONDS = 120
_NO_EFFECT_WITHOUT_SIGN_IN = ("oidc_issuer", "trusted_proxies")


def require_settings(workspace: Workspace, *, computes: bool) -> list[str]:
    """Check all settings before a program starts.

    Parameters
    ----------
    computes : whether the program, or a worker that it starts, runs networks.

    Returns
    -------
    Warnings for whoever starts it.

    Raises
    ------
    ConfigurationError
        One or more settings cannot work; the message names all of them.
    """
    checks = list(check_settings(workspace, computes=computes))
    if computes and workspace.settings.presegmentation == "on":
        checks += _check(lambda: _check_networks_in_use(workspace), "BOOTSTRAP_SOURCES")
    failed = [check.detail for check in checks if check.state is State.FAILED]
    if failed:
        raise ConfigurationError("\n".join(failed))
    return [check.detail for check in checks if check.state is State.WARNING]


def check_settings(workspace: Workspace, *, computes: bool = True) -> Iterator[Check]:
    """Check all settings except those that other checks of ``doctor`` look at: the database and TotalSegmentator's weights.

    Parameters
    ----------
    computes : as in :func:`require_settings`.
    """
    settings = workspace.settings
    checks: list[tuple[str, Callable[[], object]]] = [
        ("REQUIRED_STRUCTURES", lambda: required_structures(workspace.scheme, settings.required_structures)),
        ("BOOTSTRAP_SOURCES", lambda: _check_sources(settings)),
        ("MIXTURE", lambda: _check_mixture(workspace)),
        ("TRAINING_PROFILE", lambda: profile_named(settings.training_profile)),
        ("DATABASE_PASSWORD", lambda: _check_database_password(settings)),
        ("TRUSTED_PROXIES", lambda: trusted_proxies(settings.trusted_proxies)),
        ("TLS_CERTIFICATE", lambda: tls_files(settings)),
        ("OIDC_ISSUER", lambda: check_sign_in_settings(settings)),
        ("NOTIFY_WEBHOOK", lambda: check_notification_settings(settings)),
        ("DICOMWEB_URL", lambda: check_dicomweb_settings(settings)),
        ("DEVICE", lambda: _check_device(settings.device, computes=computes)),
        ("WEIGHTS_PATH", lambda: _check_weights_path(settings)),
        ("DASK_SCHEDULER", lambda: _check_dask(workspace)),
    ]
    found = [check for name, run in checks for check in _check(run, name)]
    found += [Check("settings", State.WARNING, text) for text in _contradictions(settings)]
    yield from found or [Check("settings", State.OK, "every setting can be used")]


def _check(run: Callable[[], object], name: str) -> list[Check]:
    try:
        run()
    except MrsegError as error:
        text = str(error) if name in str(error) else f"{name}: {error}"
        return [Check(name, State.WARNING if isinstance(error, Unavailable) else State.FAILED, text)]
    return []


def _check_database_password(settings: Settings) -> None:
    if settings.database_password is not None and settings.database_url is None:
        raise ConfigurationError(
            "DATABASE_PASSWORD is set without DATABASE_URL, so that the workspace would use SQLite; set DATABASE_URL, such as "
            "postgresql://mrseg@127.0.0.1/mrseg"
        )


def _check_sources(settings: Settings) -> Iterable[str]:
    """Check BOOTSTRAP_SOURCES, and return the sequences in it that look misspelt."""
    if not settings.bootstrap_sources:
        return ()
    known = tuple(DEFAULT_PREPARATIONS)
    named = [
        name for name in parse_sources(settings.bootstrap_sources) if not name.startswith("*") and name not in known
    ]
    nearest = {name: next(iter(get_close_matches(name, known, 1, 0.75)), None) for name in named}
    return [f"{name!r}; did you mean {near!r}?" for name, near in nearest.items() if near is not None]


def _check_mixture(workspace: Workspace) -> None:
    for name in workspace.settings.mixed_sources:
        if name not in ("bootstrap", "previous") and not workspace.path(f"models/{name}").is_dir():
            raise ConfigurationError(
                f"MIXTURE names {name!r}, which is neither bootstrap nor previous nor a model version of this workspace; "
                "mrseg-label models list shows the versions"
            )


def _check_device(name: str, *, computes: bool) -> None:
    kind, number = parse_device(name)
    if kind != "cuda" or not computes:
        return
    count = _count_gpus()
    if count <= (number or 0):
        raise ConfigurationError(
            f"DEVICE is {name!r}, but this machine has {count or 'no'} GPU{'' if count == 1 else 's'} that torch can use; "
            "set DEVICE to auto or cpu, and run mrseg-label doctor"
        )


def _count_gpus() -> int:
    """Count the GPUs; torch, which takes seconds to load, is asked only where no driver answers."""
    tool = shutil.which("nvidia-smi")
    listed = _output([tool, "--list-gpus"]) if tool else None
    if listed:
        return len(listed.splitlines())
    counted = _output([sys.executable, "-c", "import torch; print(torch.cuda.device_count())"])
    return int(counted) if counted and counted.isdigit() else 0


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _check_weights_path(settings: Settings) -> None:
    if settings.weights_path is not None:
        find_mrsegmentator(settings.weights_path)


def _check_dask(workspace: Workspace) -> None:
    if workspace.settings.dask_scheduler is not None:
        check_address(workspace.settings.dask_scheduler)
        check_shared_database(workspace.database_url)


def _check_networks_in_use(workspace: Workspace) -> None:
    """Check that the weights are there of every network that BOOTSTRAP_SOURCES, or the default, makes drafts with."""
    for name in networks_in_use(workspace.settings.bootstrap_sources):
        require_network(workspace, name)


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.auth == "off":
        given = [key.upper() for key in _NO_EFFECT_WITHOUT_SIGN_IN if getattr(settings, key)]
        if given:
            yield (
                f"AUTH is off, so {' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: only programs on "
                'this machine are answered, and nothing that comes through a proxy; set AUTH = "on"'
            )
    if settings.device == "cpu" and settings.training_profile in ("full", "fast"):
        yield (
            f"TRAINING_PROFILE is {settings.training_profile} and DEVICE is cpu: a round would take days to months; set "
            'TRAINING_PROFILE = "tiny", or DEVICE to a GPU'
        )
    if settings.repeat_share and not settings.without_draft_share:
        yield (
            "REPEAT_SHARE is set and WITHOUT_DRAFT_SHARE is not: only repeated cases open with an empty mask, which tells readers "
            "which they are; set WITHOUT_DRAFT_SHARE to at least as much"
        )
    if settings.dask_scheduler is not None and is_open_to_the_network(settings.dask_scheduler):
        yield (
            f"DASK_SCHEDULER is {settings.dask_scheduler}: whoever reaches the ports of Dask on these machines can run "
            "programs there and read the workspace; let a firewall keep all others out, or use tls:// with certificates "
            "(docs/several-machines.md)"
        )
    with suppress(ConfigurationError):  # it is reported by itself
        yield from (f"BOOTSTRAP_SOURCES names the sequence {text}" for text in _check_sources(settings))
