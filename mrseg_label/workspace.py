"""The folders of a workspace and the files stored in them; the only module that knows this layout.

A workspace is one folder that can be moved as a whole; every path in the database is relative to it. A stored
file never changes: it is written durably under a temporary name and then renamed (:mod:`mrseg_label.files`), so
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

from sqlalchemy.engine import URL

from mrseg_label.config import CONFIG_FILE, Settings, load_settings
from mrseg_label.errors import ConfigurationError, StoredFileError
from mrseg_label.failures import require_mounted
from mrseg_label.files import TEMPORARY_SUFFIX, make_folder, replacing, sha256_of, sync, write_durably
from mrseg_label.labels import LabelScheme
from mrseg_label.paths import absolute, check_new_database, configured_url, quoted, sqlite_url
from mrseg_label.private import close_folder, mend, share_with_group

DATABASE = "mrseg.db"
EVALUATIONS = "evaluations"  # what versions make of images in evaluations, and the newest report; it can be made again
FOLDERS = (
    *("images", "presegmentations", "annotations", "models", EVALUATIONS),
    *("nnunet/raw", "nnunet/preprocessed", "nnunet/results", "logs", "tmp"),
)
STORED = ("images", "presegmentations", "annotations", "models")  # what the rows of the database point to
PSEUDONYM_KEY = "pseudonyms.key"
_TOML = """\
# Settings of this workspace; docs/configuration.md explains each. The environment variable MRSEG_<KEY> overrides a key.
# ROUND_SIZE = 50
# TRAINING_PROFILE = "full"
# Sign-in is on by default. With AUTH = "off" the server answers only requests from its own machine.
# AUTH = "off"
"""


@dataclass(frozen=True)
class Workspace:
    """A workspace on disk. Create one with :meth:`init`; open an existing one with :meth:`open`."""

    root: Path
    settings: Settings

    @classmethod
    def init(cls, root: Path, labels: Path | None = None, settings_text: str | None = None) -> Workspace:
        """Create a workspace in a new or empty folder.

        Parameters
        ----------
        labels : file of the label scheme; the scheme of MRSegmentator by default.
        settings_text : content of ``mrseg.toml``; a commented template by default.

        Raises
        ------
        ConfigurationError
            The folder is not empty.
        LabelError
            ``labels`` is not a usable label scheme.
        """
        root = absolute(root)
        scheme = LabelScheme.read(labels) if labels else LabelScheme.default()
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ConfigurationError(f"{root} is not an empty folder; choose another")
        make_folder(root)
        write_durably(root / "labels.tsv", scheme.text.encode())
        # Last, since a folder with this file counts as a workspace.
        write_durably(root / CONFIG_FILE, (settings_text or _TOML).encode())
        workspace = cls.open(root)
        mend(root, workspace.settings.shared_with_group)  # the folder may have been there already
        return workspace

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """Open an existing workspace.

        Raises
        ------
        ConfigurationError
            The folder is not a workspace, or its settings cannot be used.
        """
        root = absolute(root)
        if not (root / CONFIG_FILE).is_file():
            raise ConfigurationError(
                f"{root} is not a workspace (it has no {CONFIG_FILE}); create one with: mrseg-label init {quoted(root)}"
            )
        settings = load_settings(root)
        if settings.shared_with_group:
            share_with_group()
        for folder in FOLDERS:
            make_folder(root / folder)
        return cls(root, settings)

    @cached_property
    def scheme(self) -> LabelScheme:
        """The label scheme of this workspace."""
        return LabelScheme.read(self.root / "labels.tsv")

    @property
    def database_url(self) -> URL:
        """URL of the database: the settings DATABASE_URL and DATABASE_PASSWORD, or SQLite in the workspace.

        Raises
        ------
        ConfigurationError
            DATABASE_URL cannot be used, or the workspace has files but no database.
        """
        if self.settings.database_url is not None:
            password = self.settings.database_password
            return configured_url(self.settings.database_url, password.get_secret_value() if password else None)
        file = self.root / DATABASE
        if not file.exists():
            check_new_database(file, [self.root / folder for folder in STORED])
        return sqlite_url(file)

    @property
    def nnunet(self) -> Path:
        """Folder of nnU-Net's ``raw``, ``preprocessed`` and ``results``."""
        return self.root / "nnunet"

    @property
    def models(self) -> Path:
        """Folder of the model versions."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        """Folder of the log files."""
        return self.root / "logs"

    def pseudonym_key(self) -> bytes:
        """Return the 32-byte key that pseudonyms are derived with; it is created on first use and never changes.

        Raises
        ------
        ConfigurationError
            The key's file cannot be read or is damaged.
        """
        path = self.root / PSEUDONYM_KEY
        if not path.exists():
            temporary = self.root / f".{PSEUDONYM_KEY}.{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{os.urandom(32).hex()}\n")
            sync(temporary)
            with suppress(FileExistsError):  # another import was faster: both use its key
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
        """Absolute path of a stored file.

        Parameters
        ----------
        relative : path from the workspace's folder, as the database has it; never a value from a request.

        Raises
        ------
        StoredFileError
            The path leads out of the workspace.
        """
        # Not resolve(): an image may be a link to where an admin left it.
        path = Path(os.path.normpath(self.root / relative))
        if not path.is_relative_to(self.root):
            raise StoredFileError(
                f"stored path {relative!r} leads out of the workspace {self.root}; was the database edited by hand? "
                "Restore it from a backup"
            )
        return path

    def put_bytes(self, relative: str, data: bytes) -> str:
        """Store a file permanently and return its SHA-256.

        Raises
        ------
        StoredFileError
            A file of that name exists with other content.
        """
        target = self.path(relative)
        digest = hashlib.sha256(data).hexdigest()
        if target.exists():
            return self._same(target, digest)
        make_folder(target.parent)
        write_durably(target, data)
        return digest

    def put_file(self, relative: str, source: Path) -> str:
        """Store a copy of a file permanently (as :meth:`put_bytes`) and return its SHA-256."""
        target = self.path(relative)
        if target.exists():
            return self._same(target, sha256_of(source))
        make_folder(target.parent)
        with replacing(target, durable=True) as temporary:
            shutil.copyfile(source, temporary)
            digest = sha256_of(temporary)
        return digest

    def put_tree(self, relative: str, source: Path) -> None:
        """Move a finished folder of the workspace to its permanent place by one rename.

        Raises
        ------
        StoredFileError
            The place is taken.
        """
        target = self.path(relative)
        if target.exists():
            raise StoredFileError(f"{target} exists already; stored files are never overwritten")
        for file in (entry for entry in source.rglob("*") if entry.is_file()):
            sync(file)
        make_folder(target.parent)
        os.rename(source, target)
        close_folder(target)
        sync(target.parent)

    def adopt(self, files: Mapping[str, tuple[Path, str]]) -> None:
        """Move finished files to their permanent places, with one sync for each folder.

        Parameters
        ----------
        files : by place, relative to the workspace: the file, which lies in the workspace and is synced already,
            and its SHA-256.

        Raises
        ------
        StoredFileError
            A place is taken by a file with other content.
        """
        folders = set()
        for relative, (source, digest) in files.items():
            target = self.path(relative)
            if target.exists():
                self._same(target, digest)
                source.unlink(missing_ok=True)
                continue
            make_folder(target.parent)
            source.rename(target)
            folders.add(target.parent)
        for folder in folders:
            sync(folder)

    def put_link(self, relative: str, source: Path, digest: str) -> None:
        """Store a link to a file of known SHA-256 that stays where it is, outside the workspace."""
        target = self.path(relative)
        if target.exists():
            self._same(target, digest)
            return
        make_folder(target.parent)
        temporary = target.parent / f".{target.name}.{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
        temporary.symlink_to(source.absolute())
        temporary.rename(target)
        sync(target.parent)

    def verify(self, relative: str, digest: str) -> None:
        """Check a stored file against its SHA-256.

        Raises
        ------
        StoredFileError
            The file is missing or differs.
        """
        path = self.path(relative)
        if not path.is_file():
            require_mounted(self.root / CONFIG_FILE)
            raise StoredFileError(f"{relative} is missing from {self.root}; restore it from a backup")
        found = sha256_of(path)
        if found != digest:
            raise StoredFileError(f"{relative} has SHA-256 {found} instead of {digest}; restore it from a backup")

    @contextmanager
    def scratch(self, prefix: str = "job-") -> Iterator[Path]:
        """Yield a temporary folder inside the workspace, on its file system; it is removed at the end."""
        require_mounted(self.root / CONFIG_FILE)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.root / "tmp") as folder:
            yield Path(folder)

    def _same(self, target: Path, digest: str) -> str:
        found = sha256_of(target)
        if found != digest:
            raise StoredFileError(f"{target} exists already with other content; stored files are never overwritten")
        return digest
