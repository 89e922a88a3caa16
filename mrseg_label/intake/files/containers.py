"""Folders and zips of DICOM files. A zip is read in place and never unpacked.

A zip with a single member outside its folder is refused as a whole: it is either malicious or broken.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mrseg_label.companions import is_companion
from mrseg_label.errors import InvalidInput, TooLarge
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES

ReadFile = Callable[[str], bytes]
MAX_MEMBERS = 200_000
_MARKED_UTF_8 = 0x800
MAX_ZIP_BYTES = 64 * 1024**3
# Deflate packs zeros a thousandfold but images only a few times; only a small file may be mostly background.
_MAX_RATIO, _SMALL_BYTES = 200, 64 * 1024**2


class DamagedZip(InvalidInput):
    """A damaged zip: what is missing from it cannot be known."""


@dataclass(frozen=True)
class Folder:
    """Files on disk, by the name under which the report shows them."""

    files: Mapping[str, Path]

    @property
    def names(self) -> list[str]:
        """Names of all files."""
        return list(self.files)

    @contextmanager
    def opened(self) -> Iterator[ReadFile]:
        """Yield a function that reads a file by name."""

        def read(name: str) -> bytes:
            path = self.files[name]
            if path.stat().st_size > MAX_VOXEL_BYTES:
                raise TooLarge(f"the file is larger than {MAX_VOXEL_BYTES:,} bytes")
            return path.read_bytes()

        yield read


@dataclass(frozen=True)
class Zip:
    """Members of a zip that was checked: the name in the zip of each name that is shown."""

    path: Path
    members: Mapping[str, str]

    @classmethod
    def open_checked(cls, path: Path) -> Zip:
        """Check the list of members before any of them is read.

        Raises
        ------
        InvalidInput
            Not a zip; a member outside the folder (absolute, with ``..``, a link); two of one name; encrypted.
        TooLarge
            It would unpack to more than is allowed, or to far more than any image does.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"the zip has a member whose name is marked as UTF-8 and is not ({error.object!r}); pack the files again"
            ) from error
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InvalidInput(f"the zip cannot be read: {error}") from error
        if len(infos) > MAX_MEMBERS:
            raise TooLarge(f"the zip has {len(infos):,} members; at most {MAX_MEMBERS:,} are allowed")
        total = 0
        for info in infos:
            _check_member(info)
            total += info.file_size
        if total > MAX_ZIP_BYTES:
            raise TooLarge(f"the zip unpacks to {total:,} bytes; at most {MAX_ZIP_BYTES:,} are allowed")
        packed = max(path.stat().st_size, 1)
        if total > _SMALL_BYTES and total / packed > _MAX_RATIO:
            raise TooLarge(f"the zip unpacks to {total / packed:,.0f} times its size, which images never do")
        wanted = [info for info in infos if not info.is_dir() and not is_companion(PurePosixPath(info.filename))]
        members = {_shown_name(info): info.filename for info in wanted}
        if len(members) != len(wanted):
            raise InvalidInput("the zip has two members with the same name, so it is refused as a whole")
        return cls(path, members)

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return list(self.members)

    @contextmanager
    def opened(self) -> Iterator[ReadFile]:
        """Yield a function that reads a member by name and verifies its checksum."""
        try:
            with zipfile.ZipFile(self.path) as archive:

                def read(name: str) -> bytes:
                    try:
                        return archive.read(self.members[name])
                    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
                        raise DamagedZip(
                            f"the zip is damaged ({type(error).__name__} in a member), so it is refused as a whole; download it again"
                        ) from error

                yield read
        except zipfile.BadZipFile as error:
            raise InvalidInput("the zip changed while it was being read; import it again") from error


def _shown_name(info: zipfile.ZipInfo) -> str:
    """The name of a member as text: many programs write UTF-8 without the mark, which zipfile reads as code page 437."""
    if info.flag_bits & _MARKED_UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename if isinstance(getattr(info, "orig_filename", None), str) else info.filename
    parts = name.replace("\\", "/").split("/")
    outside = name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) > 1 and parts[0][1] == ":")
    if outside or "\0" in name:
        raise InvalidInput("the zip has a member outside its folder, so it is refused as a whole")
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidInput("the zip has a member that is a link or not a regular file, so it is refused as a whole")
    if info.flag_bits & 1:
        raise InvalidInput("the zip is encrypted; decrypt it first")
    if info.file_size > max(_SMALL_BYTES, _MAX_RATIO * info.compress_size):
        raise TooLarge(f"the zip has a member that unpacks to {info.file_size:,} from {info.compress_size:,} bytes")
    if info.file_size > MAX_VOXEL_BYTES:
        raise TooLarge(f"the zip has a member of {info.file_size:,} bytes; at most {MAX_VOXEL_BYTES:,} are allowed")
