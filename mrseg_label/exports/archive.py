"""A data set as one zip, which is neither in memory nor on disk as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from zipstream import ZipStream

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.exports.files import File
from mrseg_label.exports.service import Options, prepare
from mrseg_label.workspace import Workspace


def stream_export(workspace: OpenedWorkspace, options: Options) -> Iterator[bytes]:
    """Choose what is exported, and return the chunks of a zip of it.

    Raises
    ------
    InvalidInput
        Nothing is annotated, or the form cannot be sent.
    """
    return stream_files(workspace, prepare(workspace, options))


def stream_files(workspace: Workspace, files: Iterable[File]) -> Iterator[bytes]:
    """Yield a zip of files in their order; stored files are read where they are."""
    archive = ZipStream()  # stored, not compressed: images and masks are compressed already
    with workspace.scratch("export-") as scratch:
        for file in files:
            source = file.stored
            if source is None:
                source = scratch / "file"
                file.write(source)
                os.utime(source, (file.seconds, file.seconds))
            archive.add_path(source, file.path)
            yield from archive.all_files()
        yield from archive.finalize()
