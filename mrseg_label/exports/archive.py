"""A data set as one zip, which is neither in memory nor on disk as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from zipstream import ZipStream

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import stations
from mrseg_label.errors import NotFound
from mrseg_label.exports.dataset import MaskChoice, Selection, person_of
from mrseg_label.exports.files import File
from mrseg_label.exports.service import Options, prepare
from mrseg_label.exports.tables import describe_participant
from mrseg_label.exports.whole_body import bodies_of, body_files
from mrseg_label.text import key_of
from mrseg_label.workspace import Workspace


def stream_export(workspace: OpenedWorkspace, options: Options) -> Iterator[bytes]:
    """Choose what is exported, and return the chunks of a zip of it.

    Raises
    ------
    InvalidInput
        Nothing is annotated, or the form cannot be sent.
    """
    return stream_files(workspace, prepare(workspace, options))


def stream_body(workspace: OpenedWorkspace, examination_id: str, masks: MaskChoice, *, match: bool) -> Iterator[bytes]:
    """Compose the stations of an examination's participant in its session and sequence; return the chunks of a zip of them.

    Raises
    ------
    NotFound
        There is no such examination, or no other station to compose it with.
    GeometryError
        The stations lie too far apart.
    """
    person, row = person_of(workspace, examination_id, Selection(masks))
    session = stations.session_of_key(row.acquisition.key)
    body = next((one for one in bodies_of(person) if (one.session, one.sequence) == (session, row.sequence)), None)
    if body is None:
        raise NotFound(
            f"{row.id} has no other station of its sequence in its session, so there is no whole body to compose"
        )
    name = key_of(body.sequence, "image")
    paths = (f"{name}.nii.gz", f"{name}_mask.nii.gz")
    more = describe_participant(person.participant)
    return stream_files(workspace, list(body_files(workspace, body, *paths, match=match, more=more)))


def stream_files(workspace: Workspace, files: Iterable[File]) -> Iterator[bytes]:
    """Yield a zip of files in their order; stored files are read where they are."""
    archive = ZipStream()  # stored, not compressed: images and masks are compressed already
    with workspace.scratch("export-") as scratch:
        for file in files:
            source = file.stored
            if source is None:
                source = scratch / f"file{file.suffix}"
                file.write(source)
                os.utime(source, (file.seconds, file.seconds))
            archive.add_path(source, file.path)
            yield from archive.all_files()
        yield from archive.finalize()
