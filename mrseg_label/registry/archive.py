"""A model version as a zip that ``nnUNetv2_install_pretrained_model_from_zip`` installs, and back."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput, TooLarge
from mrseg_label.registry.layout import files_of

# The same files give the same bytes: no time of day, one order, one mode.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
MAX_UNPACKED = 64 << 30
MAX_FILES = 10_000


def write_archive(root: Path, target: Path) -> None:
    """Zip everything under ``root`` into ``target``, deterministically; ``target`` appears whole or not at all."""
    temporary = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        with zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
            for file in files_of(root):
                _add(archive, file, file.relative_to(root).as_posix())
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _MOMENT)
    # Weights hardly shrink and are large; the rest is text.
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
        It is not a zip, is damaged, or an entry is a link or would land outside the folder.
    TooLarge
        It unpacks to more than is allowed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            size = sum(entry.file_size for entry in entries)
            if size > MAX_UNPACKED or len(entries) > MAX_FILES:
                raise TooLarge(
                    f"{file.name} unpacks to {len(entries)} files and {size / 1e9:.1f} GB, more than a model has"
                )
            for entry in entries:
                _unpack(archive, entry, target, file.name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise InvalidInput(f"{file.name} is not a whole zip archive: {error}; export or download it again") from error
    except RuntimeError as error:  # zipfile's word for an encrypted entry
        raise InvalidInput(f"{file.name} cannot be unpacked: {error}") from error


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, archive_name: str) -> None:
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    unsafe = (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in entry.filename
        or "\0" in entry.filename
        or ":" in entry.filename
    )
    if unsafe or not path.parts or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
        raise InvalidInput(
            f"{archive_name} has an entry {entry.filename!r} that a model's archive cannot have; nothing was imported"
        )
    destination = target.joinpath(*path.parts)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, destination.open("xb") as sink:
        shutil.copyfileobj(source, sink, _BLOCK)
