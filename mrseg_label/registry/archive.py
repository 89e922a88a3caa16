"""Zip a model version so that ``nnUNetv2_install_pretrained_model_from_zip`` installs it, and unzip one."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from mrseg_label.companions import is_companion
from mrseg_label.errors import InvalidInput, TooLarge
from mrseg_label.files import replacing
from mrseg_label.registry.layout import files_of

# The same files give the same bytes: a fixed time, order and mode.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
MAX_UNPACKED = 64 << 30
MAX_FILES = 10_000
_MAX_NAME = 255  # bytes, on every common file system


def write_archive(root: Path, target: Path) -> None:
    """Zip all files under ``root`` into ``target``; the same files always give the same bytes."""
    with replacing(target, durable=True) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        for file in files_of(root):
            _add(archive, file, file.relative_to(root).as_posix())


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _MOMENT)
    # Weights are large and hardly compress; the rest is text.
    entry.compress_type = zipfile.ZIP_STORED if file.suffix == ".pth" else zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.create_system = 3
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
        shutil.copyfileobj(source, sink, _BLOCK)


def read_archive(file: Path, target: Path) -> None:
    """Unpack a zip into the empty folder ``target``.

    Raises
    ------
    InvalidInput
        The file is not a zip or is damaged, or an entry is a link or would be written outside the folder.
    TooLarge
        The content is larger, or has more files, than is allowed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            size = sum(entry.file_size for entry in entries)
            if size > MAX_UNPACKED or len(entries) > MAX_FILES:
                raise TooLarge(
                    f"{file.name} unpacks to {len(entries):,} files and {size / 1e9:.1f} GB; a model has at most "
                    f"{MAX_FILES:,} files and {MAX_UNPACKED / 1e9:.1f} GB"
                )
            for entry in entries:
                path = _checked_path(entry, file.name)
                if not is_companion(path):
                    _unpack(archive, entry, target / path, file.name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{file.name} is not a complete zip archive ({error}); export or download it again"
        ) from error
    except RuntimeError as error:  # zipfile raises it for an encrypted entry
        raise InvalidInput(f"{file.name} cannot be unpacked ({error}); export it without a password") from error


def _checked_path(entry: zipfile.ZipInfo, archive_name: str) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    unsafe = (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in entry.filename
        or "\0" in entry.filename
        or ":" in entry.filename
        or max(map(len, map(os.fsencode, path.parts)), default=0) > _MAX_NAME
    )
    if unsafe or not path.parts or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
        raise InvalidInput(
            f"{archive_name} has the entry {entry.filename!r}, which must not be in a model's archive; nothing was "
            "imported. Export the model again"
        )
    return path


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, destination: Path, archive_name: str) -> None:
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, destination.open("xb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(
            f"{archive_name} has two entries with the name {entry.filename!r}; export the model again"
        ) from error
