"""Where the files of a DICOM export lie: a folder or a zip, which is read as it is and never unpacked.

A zip that has one member outside its folder is refused whole: whoever made it meant no good or made a
mistake, and neither is a source of images.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from mrseg_label.errors import InvalidInput, TooLarge
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES

Read = Callable[[str], bytes]
MAX_MEMBERS = 200_000
MAX_ZIP_BYTES = 64 * 1024**3
# Deflate packs zeros a thousandfold; images a few times, and only a small file may be mostly background.
_MAX_RATIO, _SMALL_BYTES = 200, 64 * 1024**2
# These stand beside images and need no word.
_SILENT = (".ds_store", "thumbs.db", "desktop.ini")


class Damaged(InvalidInput):
    """A zip that was damaged on its way: what is missing in it cannot be known."""


class Container(Protocol):
    """Files by name, in the order in which they are read."""

    @property
    def names(self) -> list[str]:
        """Names of all files."""

    def opened(self) -> AbstractContextManager[Read]:
        """A context in which files can be read."""


@dataclass(frozen=True)
class Folder:
    """Files on disk, by the name that stands in a report."""

    files: Mapping[str, Path]

    @property
    def names(self) -> list[str]:
        """Names of all files."""
        return list(self.files)

    @contextmanager
    def opened(self) -> Iterator[Read]:
        """A function that reads a file by name."""

        def read(name: str) -> bytes:
            path = self.files[name]
            if path.stat().st_size > MAX_VOXEL_BYTES:
                raise TooLarge(f"a file of more than {MAX_VOXEL_BYTES:,} bytes")
            return path.read_bytes()

        yield read


@dataclass(frozen=True)
class Zip:
    """Members of a zip."""

    path: Path
    members: tuple[str, ...]

    @classmethod
    def checked(cls, path: Path) -> Zip:
        """Look at the list of members before any is read.

        Raises
        ------
        InvalidInput
            Not a zip; a member outside the folder (absolute, with ``..``, a link); two of one name; encrypted.
        TooLarge
            It would unpack to more than is read, or far more than any image does.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InvalidInput(f"the zip cannot be read: {error}") from error
        if len(infos) > MAX_MEMBERS:
            raise TooLarge(f"the zip has {len(infos):,} members; at most {MAX_MEMBERS:,} are read")
        total = 0
        for info in infos:
            _check_member(info)
            total += info.file_size
        if total > MAX_ZIP_BYTES:
            raise TooLarge(f"the zip unpacks to {total:,} bytes; at most {MAX_ZIP_BYTES:,} are read")
        packed = max(path.stat().st_size, 1)
        if total > _SMALL_BYTES and total / packed > _MAX_RATIO:
            raise TooLarge(f"the zip unpacks to {total / packed:,.0f} times its size; no images do")
        names = [info.filename for info in infos if not info.is_dir()]
        if len(set(names)) != len(names):
            raise InvalidInput("the zip has two members of one name; it is refused whole")
        return cls(path, tuple(name for name in names if PurePosixPath(name).name.lower() not in _SILENT))

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return list(self.members)

    @contextmanager
    def opened(self) -> Iterator[Read]:
        """A function that reads a member by name, its checksum checked."""
        try:
            with zipfile.ZipFile(self.path) as archive:

                def read(name: str) -> bytes:
                    try:
                        return archive.read(name)
                    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
                        raise Damaged(
                            f"the zip is damaged ({type(error).__name__} in a member); fetch it again, it is refused whole"
                        ) from error

                yield read
        except zipfile.BadZipFile as error:
            raise InvalidInput("the zip changed while it was read") from error


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename if isinstance(getattr(info, "orig_filename", None), str) else info.filename
    parts = name.replace("\\", "/").split("/")
    outside = name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) > 1 and parts[0][1] == ":")
    if outside or "\0" in name:
        raise InvalidInput("the zip has a member outside its folder; it is refused whole")
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidInput("the zip has a member that is a link or no plain file; it is refused whole")
    if info.flag_bits & 1:
        raise InvalidInput("the zip is encrypted; unpack it first")
    if info.file_size > max(_SMALL_BYTES, _MAX_RATIO * info.compress_size):
        raise TooLarge(f"the zip has a member that unpacks to {info.file_size:,} from {info.compress_size:,} bytes")
    if info.file_size > MAX_VOXEL_BYTES:
        raise TooLarge(f"the zip has a member of {info.file_size:,} bytes; at most {MAX_VOXEL_BYTES:,} are read")
