"""The only place that knows folders.

A workspace is one folder, movable as a whole; every path in the database is relative to it. A stored
file never changes: it is written under a temporary name, fsynced, renamed, and its folder fsynced, so
that a name that exists always stands for a whole file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mrseg_label.config import CONFIG_FILE, Settings, load_settings
from mrseg_label.errors import ConfigurationError, StoredFileError
from mrseg_label.labels import LabelScheme

FOLDERS = (
    "images",
    "presegmentations",
    "annotations",
    "nnunet/raw",
    "nnunet/preprocessed",
    "nnunet/results",
    "models",
    "logs",
    "tmp",
)
PSEUDONYM_KEY = "pseudonyms.key"
_TOML = """\
# Settings of this workspace; docs/configuration.md explains each. Keys are also read from MRSEG_<KEY>.
# ROUND_SIZE = 50
# TRAINING_PROFILE = "full"
# Sign-in is on unless it is switched off here; without it the server answers only this machine.
# AUTH = "off"
"""


@dataclass(frozen=True)
class Workspace:
    """A workspace on disk. Make one with :meth:`init`, open one with :meth:`open`."""

    root: Path
    settings: Settings

    @classmethod
    def init(cls, root: Path, labels: Path | None = None, settings_text: str | None = None) -> Workspace:
        """Make a workspace in a new or empty folder.

        Raises
        ------
        ConfigurationError
            The folder holds something already.
        LabelError
            ``labels`` is not a usable label scheme.
        """
        scheme = LabelScheme.read(labels) if labels else LabelScheme.default()
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ConfigurationError(f"{root} is not an empty folder; choose another, or open what is there")
        cls._lay(root, scheme, settings_text)
        return cls.open(root)

    @classmethod
    def _lay(cls, root: Path, scheme: LabelScheme, settings_text: str | None) -> None:
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        _write_durably(root / "labels.tsv", scheme.text.encode())
        # Last, since a folder with this file counts as a workspace.
        _write_durably(root / CONFIG_FILE, (settings_text or _TOML).encode())

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """Open an existing workspace.

        Raises
        ------
        ConfigurationError
            The folder is not a workspace, or its settings cannot be used.
        """
        root = root.resolve()
        if not (root / CONFIG_FILE).is_file():
            raise ConfigurationError(
                f"{root} is not a workspace (no {CONFIG_FILE}); make one with: mrseg-label init {root}"
            )
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        return cls(root, load_settings(root))

    @cached_property
    def scheme(self) -> LabelScheme:
        """The label scheme of this workspace."""
        return LabelScheme.read(self.root / "labels.tsv")

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalogue."""
        return self.settings.database_url or f"sqlite:///{self.root / 'mrseg.db'}"

    @property
    def nnunet(self) -> Path:
        """Folder with nnU-Net's raw, preprocessed and results."""
        return self.root / "nnunet"

    @property
    def models(self) -> Path:
        """Folder of the model versions."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.root / "logs"

    def pseudonym_key(self) -> bytes:
        """The key by which people become pseudonyms, made when it is first needed and never changed."""
        path = self.root / PSEUDONYM_KEY
        if not path.exists():
            temporary = self.root / f".{PSEUDONYM_KEY}.{os.urandom(4).hex()}.part"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{os.urandom(32).hex()}\n")
            sync(temporary)
            with suppress(FileExistsError):  # another import was first: its key is everybody's
                os.link(temporary, path)
            temporary.unlink()
            sync(self.root)
        try:
            key = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read; restore it from a backup: {error}") from error
        if len(key) != 32:
            raise ConfigurationError(f"{path} is damaged; restore it from a backup")
        return key

    def path(self, relative: str) -> Path:
        """Absolute path of a stored file; ``relative`` comes from the database, never from a client."""
        # Not resolve(): an image may be a link to where an admin left it.
        path = Path(os.path.normpath(self.root / relative))
        if not path.is_relative_to(self.root):
            raise StoredFileError(
                f"stored path {relative!r} leaves the workspace {self.root}; the database was changed by hand?"
            )
        return path

    def put_bytes(self, relative: str, data: bytes) -> str:
        """Store a file for ever and return its SHA-256.

        Raises
        ------
        StoredFileError
            There is a file of that name with other content.
        """
        target = self.path(relative)
        digest = hashlib.sha256(data).hexdigest()
        if target.exists():
            return self._same(target, digest)
        _make_folder(target.parent)
        _write_durably(target, data)
        return digest

    def put_file(self, relative: str, source: Path) -> str:
        """Store a copy of a file for ever (as :meth:`put_bytes`) and return its SHA-256."""
        target = self.path(relative)
        if target.exists():
            return self._same(target, sha256_of(source))
        _make_folder(target.parent)
        temporary = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part"
        try:
            shutil.copyfile(source, temporary)
            digest = sha256_of(temporary)
            _publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def put_tree(self, relative: str, source: Path) -> None:
        """Move a finished folder into its place; both lie in the workspace, so that it is one rename."""
        target = self.path(relative)
        if target.exists():
            raise StoredFileError(f"{target} is there already; nothing stored is ever overwritten")
        for file in (entry for entry in source.rglob("*") if entry.is_file()):
            sync(file)
        _make_folder(target.parent)
        os.rename(source, target)
        sync(target.parent)

    def adopt(self, files: Mapping[str, tuple[Path, str]]) -> None:
        """Move finished files, synced by whoever wrote them, into their places for ever: one sync a folder.

        Parameters
        ----------
        files : the place, relative to the workspace, to the file (which lies in the workspace) and its SHA-256.
        """
        folders = set()
        for relative, (source, digest) in files.items():
            target = self.path(relative)
            if target.exists():
                self._same(target, digest)
                source.unlink(missing_ok=True)
                continue
            _make_folder(target.parent)
            source.rename(target)
            folders.add(target.parent)
        for folder in folders:
            sync(folder)

    def put_link(self, relative: str, source: Path, digest: str) -> None:
        """Refer to a file of known SHA-256 that stays where it is, outside the workspace."""
        target = self.path(relative)
        if target.exists():
            self._same(target, digest)
            return
        _make_folder(target.parent)
        temporary = target.parent / f".{target.name}.{os.urandom(4).hex()}.part"
        temporary.symlink_to(source.absolute())
        temporary.rename(target)
        sync(target.parent)

    def verify(self, relative: str, digest: str) -> None:
        """Check a stored file against its SHA-256.

        Raises
        ------
        StoredFileError
            It is missing or differs.
        """
        path = self.path(relative)
        if not path.is_file():
            raise StoredFileError(f"{relative} is missing from {self.root}; restore it from a backup")
        found = sha256_of(path)
        if found != digest:
            raise StoredFileError(f"{relative} has SHA-256 {found} instead of {digest}; restore it from a backup")

    @contextmanager
    def scratch(self, prefix: str = "job-") -> Iterator[Path]:
        """A temporary folder inside the workspace (same file system), removed afterwards."""
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.root / "tmp") as folder:
            yield Path(folder)

    def _same(self, target: Path, digest: str) -> str:
        found = sha256_of(target)
        if found != digest:
            raise StoredFileError(f"{target} is there already with other content; nothing stored is ever overwritten")
        return digest


def _make_folder(folder: Path) -> None:
    """Make a folder whose name is on the disk before anything in it is relied on."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small working file (progress, plans) so that a reader sees the old or the new one, never a half."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    temporary.write_bytes(data)
    os.replace(temporary, path)


def _write_durably(target: Path, data: bytes) -> None:
    temporary = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        temporary.write_bytes(data)
        _publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    sync(temporary)
    os.rename(temporary, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
