"""Masks of many cases as one zip, which is neither in memory nor on disk as a whole."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

from zipstream import ZipStream

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries.annotations import MaskFilter
from mrseg_label.catalog.tables import Acquisition, Annotation
from mrseg_label.catalog.types import Position
from mrseg_label.clock import iso
from mrseg_label.reports.downloads import SUFFIX

_ROWS = 200  # read from the catalogue at a time
_CHUNK = 1 << 20  # bytes of the manifest that are sent at a time


def stream_masks(workspace: OpenedWorkspace, wanted: MaskFilter) -> Iterator[bytes]:
    """Yield a zip of masks, newest first, with the label scheme and a manifest.

    ``masks/<annotation>.nii.gz`` are the files as they are stored: NIfTI with their geometry, values are the ids of the
    scheme. ``labels.tsv`` is the scheme. ``manifest.json`` has the scheme's names and ids, and of each mask its SHA-256,
    where it comes from, and which structures nobody annotated: in the mask they are background and say nothing.
    """
    archive = ZipStream()  # stored, not compressed: the masks are compressed already
    archive.add((workspace.root / "labels.tsv").read_bytes(), "labels.tsv")
    yield from archive.all_files()
    # The manifest comes last, and a line for each of many masks is too much to keep in memory.
    with tempfile.TemporaryFile() as manifest:
        header = {"labels": workspace.scheme.label_names, "labels_digest": workspace.scheme.digest}
        manifest.write(json.dumps(header)[:-1].encode() + b', "masks": [')
        for number, (annotation, case) in enumerate(_rows(workspace, wanted)):
            name = f"masks/{annotation.id}{SUFFIX}"
            archive.add_path(workspace.path(annotation.path), name)
            yield from archive.all_files()
            entry = json.dumps(_entry(annotation, case, name, workspace.scheme.names), ensure_ascii=False)
            manifest.write((",\n" if number else "\n").encode() + entry.encode())
        manifest.write(b"\n]}\n")
        manifest.seek(0)
        archive.add(_chunks(manifest), "manifest.json")
        yield from archive.finalize()


def _rows(workspace: OpenedWorkspace, wanted: MaskFilter) -> Iterator[tuple[Annotation, Acquisition]]:
    """Read the annotations a few at a time: no transaction is open while a slow client receives."""
    after: Position | None = None
    while True:
        with workspace.catalog.read() as session:
            found = rows.masks(session, wanted, _ROWS, after)
        yield from found
        if len(found) < _ROWS:
            return
        after = (found[-1][0].created_at, found[-1][0].id)


def _entry(annotation: Annotation, case: Acquisition, name: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "file": name,
        "sha256": annotation.digest,
        "annotation": annotation.id,
        "number": annotation.number,
        "state": annotation.state,
        "is_final": annotation.is_final,
        "author": annotation.author,
        "created": iso(annotation.created_at),
        "model_version": annotation.model_version,
        "examination": annotation.examination_id,
        "acquisition": case.id,
        "participant": case.participant.code,
        "station": case.station,
        "not_annotated": [name for name in names if name not in annotation.judged],
    }


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
