"""What ``doctor`` looks at. Each check says what it found and, where something is missing, how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from sqlalchemy.engine import make_url

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.migrate import migration_state
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import MrsegError
from mrseg_label.maintenance.backup import verify_files
from mrseg_label.maintenance.leftovers import sweep
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.workspace import Workspace

DISTRIBUTION = "mrseg-label"
# Shown with their versions; every other requirement is checked as well.
SHOWN = ("torch", "monai", "monailabel", "nnunetv2", "TotalSegmentator", "SimpleITK", "sqlalchemy", "fastapi")
SAFE_SQLITE = (3, 51, 3)  # before it, a rare race when the log is reset can lose a commit
LOW_DISK_GB = 20.0
SHOWN_FILES = 10
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "ceph", "glusterfs", "9p")


class State(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    state: State
    detail: str
    advice: str | None = None


def installation() -> Iterator[Check]:
    """Checks that need no workspace."""
    yield Check(
        "python", State.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}, {_cores()} cores"
    )
    yield from packages()
    yield gpu()


def packages() -> Iterator[Check]:
    """Whether every requirement is installed in a version that fits."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check("packages", State.FAILED, f"{DISTRIBUTION} is not installed", "run: uv sync --frozen")
        return
    wrong = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        yield Check(
            "packages",
            State.FAILED,
            "; ".join(wrong),
            "run: uv sync --frozen (a plain pip install takes other versions)",
        )
    else:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)
        yield Check("packages", State.OK, f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)} with {shown}")


def gpu() -> Check:
    """Whether there is a GPU, and whether torch can use it."""
    tool = shutil.which("nvidia-smi")
    listed = _output([tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]) if tool else None
    if not listed:
        return Check(
            "gpu", State.WARNING, "none found", "drafts and rounds run on the CPU; TRAINING_PROFILE full wants a GPU"
        )
    usable = _output([sys.executable, "-c", "import torch; print(torch.cuda.is_available())"])
    if usable != "True":
        return Check(
            "gpu",
            State.FAILED,
            f"{listed}, but torch cannot use it",
            "update the driver, or install torch for its CUDA version",
        )
    return Check("gpu", State.OK, "; ".join(listed.splitlines()))


def weights(configured: Path | None) -> Check:
    """Which weights TotalSegmentator has."""
    try:
        found = find_weights(configured)
    except MrsegError as error:
        return Check("weights", State.FAILED, str(error))
    state = State.WARNING if found.advice else State.OK
    return Check("weights", state, f"{found.kind}: {found.description}", found.advice)


def workspace(root: Path, *, verify: bool, progress: Callable[[int, int], None]) -> Iterator[Check]:
    """Checks of a workspace; ``verify`` rechecks every stored digest."""
    if not (root / CONFIG_FILE).is_file():
        yield weights(None)
        yield Check(
            "workspace",
            State.WARNING,
            f"{root.absolute()} is none",
            "make one with: mrseg-label init DIR, or name one with --workspace",
        )
        return
    try:
        found = Workspace.open(root)
        structures = len(found.scheme)
    except MrsegError as error:
        yield Check("workspace", State.FAILED, str(error))
        return
    yield weights(found.settings.totalseg_weights_path)
    yield Check(
        "workspace", State.OK, f"{found.root}, {structures} structures, profile {found.settings.training_profile}"
    )
    yield disk(found.root)
    ready, made = True, False
    for check in database(found):
        ready = ready and check.state is not State.FAILED
        made = made or (check.name == "database" and check.state is State.OK)
        yield check
    if made:
        from mrseg_label.maintenance.sign_in_check import sign_in

        yield sign_in(found)
    if verify and ready:
        yield digests(found, progress)
        yield leftovers(found)


def disk(root: Path) -> Check:
    """How much room there is."""
    usage = shutil.disk_usage(root)
    free = usage.free / 1e9
    detail = f"{free:.0f} of {usage.total / 1e9:.0f} GB free"
    if free < LOW_DISK_GB:
        return Check("disk", State.WARNING, detail, "a round needs tens of GB for preprocessed images; make room")
    return Check("disk", State.OK, detail)


def database(found: Workspace) -> Iterator[Check]:
    """Whether the database answers, is at the newest migration, and is safe where it lies."""
    try:
        url = make_url(found.database_url)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            yield Check(
                "database",
                State.WARNING,
                f"{url.database} is not made yet",
                "it is made by the first command that needs it",
            )
            return
        catalog = Catalog(found.database_url)
        try:
            with catalog.read() as session:
                session.connection()
            present, head = migration_state(catalog.engine)
        finally:
            catalog.close()
    except MrsegError as error:
        yield Check("database", State.FAILED, str(error), "is DATABASE_URL right, and is the server up?")
        return
    shown = url.render_as_string(hide_password=True)
    if present != head:
        yield Check(
            "database", State.FAILED, f"{shown} is at migration {present} instead of {head}", "run: mrseg-label upgrade"
        )
    else:
        yield Check("database", State.OK, f"{shown} at migration {present}")
    if url.get_backend_name() == "sqlite":
        yield from sqlite(Path(url.database or ""))


def sqlite(file: Path) -> Iterator[Check]:
    """Whether SQLite is safe here."""
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        needed = ".".join(map(str, SAFE_SQLITE))
        yield Check(
            "sqlite",
            State.WARNING,
            f"{version} is older than {needed}, before which a rare race could lose a commit when the write-ahead log is reset",
            "use a Python with a newer SQLite, or PostgreSQL (DATABASE_URL), and keep backups (mrseg-label backup)",
        )
    else:
        yield Check("sqlite", State.OK, version)
    kind = file_system(file)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Check(
            "sqlite file",
            State.FAILED,
            f"{file} lies on {kind}, where SQLite's locks do not hold",
            "use PostgreSQL (DATABASE_URL)",
        )


def digests(found: Workspace, progress: Callable[[int, int], None]) -> Check:
    """Whether every stored file is what it was when it was stored."""
    catalog = Catalog(found.database_url)
    try:
        damaged = list(verify_files(OpenedWorkspace.of(found, catalog), progress))
    except MrsegError as error:
        return Check("digests", State.FAILED, str(error))
    finally:
        catalog.close()
    if damaged:
        return Check("digests", State.FAILED, "; ".join(damaged), "restore these files from a backup")
    return Check("digests", State.OK, "every stored file has the digest it was stored with")


def leftovers(found: Workspace) -> Check:
    """What killed processes left: temporary files are removed, whole ones without a row are only named."""
    catalog = Catalog(found.database_url)
    try:
        left = sweep(OpenedWorkspace.of(found, catalog))
    except MrsegError as error:
        return Check("leftovers", State.FAILED, str(error))
    finally:
        catalog.close()
    removed = f"; removed {len(left.removed)} temporary files older than a day" if left.removed else ""
    if not left.without_row:
        return Check("leftovers", State.OK, f"every file older than a day has a row{removed}")
    shown = ", ".join(left.without_row[:SHOWN_FILES])
    more = f" and {len(left.without_row) - SHOWN_FILES} more" if len(left.without_row) > SHOWN_FILES else ""
    return Check(
        "leftovers",
        State.WARNING,
        f"{len(left.without_row)} files have no row, and nothing reads them: {shown}{more}{removed}",
        "a process was killed between storing and recording them; they may be deleted",
    )


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Kind of the file system that a file lies on; None where the system does not say."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    best: tuple[int, str | None] = (-1, None)
    real = path.resolve()
    for line in lines:
        fields = line.split(" ")
        mount = fields[1].encode().decode("unicode_escape")
        if real.is_relative_to(mount) and len(mount) > best[0]:
            best = (len(mount), fields[2])
    return best[1]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
