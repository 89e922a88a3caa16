"""Register an image that a reader uploads: one file, prepared and recorded as in an import."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, examinations, participants
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.files import sha256_of
from mrseg_label.ids import check_alias, is_id
from mrseg_label.intake.files.prepare import SCRATCH, prepare
from mrseg_label.intake.filling import upload_code
from mrseg_label.intake.images import NamedImage, PreparedImage, RefusedImage
from mrseg_label.intake.names import strip_suffix
from mrseg_label.intake.options import Accepted
from mrseg_label.intake.record import Recorder, log_import
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES, sequence_in_name

# Checking an image takes a multiple of its size in memory, so uploads are checked one after the other.
_one_upload = threading.Lock()


def register_upload(workspace: OpenedWorkspace, reader: Reader, file: Path, *, alias: str) -> str:
    """Register an uploaded image as an examination, under the reader's own name for it.

    The same image again, under whatever name, is the same examination; another image under the same name
    is a new one, which the name then refers to. The name may refer to an image that somebody else imported only for
    a reader who sees every case, since it opens that image's pre-segmentations and annotations.

    Parameters
    ----------
    file : the upload, with the suffix of an image.
    alias : the reader's name for it.

    Returns
    -------
    The examination's id.

    Raises
    ------
    InvalidInput
        The name or the image cannot be used.
    Conflict
        The name is the id of another examination, or the image is stored already and the name may not refer to it.
    """
    check_alias(alias)
    if is_id(alias):
        _check_exists(workspace, alias)
    named = NamedImage(
        path=file,
        shown=alias,
        origin=str(file),
        participant=upload_code(sha256_of(file)),
        stated=True,
        sequence=sequence_in_name(strip_suffix(alias)),
    )
    with workspace.scratch(SCRATCH) as scratch:
        image = prepare_upload(workspace, named, scratch)
        with workspace.catalog.begin() as session:
            participants.lock_imports(session)
            recorder = Recorder(workspace, {}, PRIMARY_SEQUENCES)
            present = recorder.find_stored(session, image)
            if is_id(alias):
                return _check_same(alias, present)
            if present:
                examination_id = _choose_stored(session, present, reader)
            else:
                examination_id = _record(recorder, session, image, reader.name)
            examinations.set_alias(session, reader.name, alias, examination_id)
            audit.record(session, reader.name, "named", examination_id)
    return examination_id


def prepare_upload(workspace: OpenedWorkspace, image: NamedImage, scratch: Path) -> PreparedImage:
    """Read, check and convert an image that a client sent, as :func:`~mrseg_label.intake.files.prepare.prepare` does.

    Raises
    ------
    InvalidInput
        The image cannot be used.
    """
    with _one_upload:
        prepared = prepare(workspace, image, scratch, max_bytes=workspace.settings.max_image_mb * 1024 * 1024)
    if isinstance(prepared, RefusedImage):
        reason = prepared.reason.removeprefix(f"{image.path.name}: ")
        raise InvalidInput(f"the image {image.shown!r} cannot be used: {reason}")
    return prepared


def _record(recorder: Recorder, session: Session, image: PreparedImage, actor: str) -> str:
    """Record a new image; returns the examination's id."""
    recorded = recorder.record(session, image)
    examination_id = recorded.id if isinstance(recorded, Accepted) else recorded.examination.id
    recorder.store_files()
    log_import(session, actor, [examination_id])
    return examination_id


def _check_exists(workspace: OpenedWorkspace, alias: str) -> None:
    with workspace.catalog.read() as session:
        if examinations.get(session, alias) is None:
            raise InvalidInput(
                f"{alias!r} looks like the id of an examination, but no such examination exists; rename the image"
            )


def _check_same(alias: str, present: Sequence[Examination]) -> str:
    """Return the id under which an image is uploaded, if the image is that examination."""
    if alias not in {examination.id for examination in present}:
        raise Conflict(
            f"{alias} is the id of another image, and a stored image is never overwritten; rename yours and upload it again"
        )
    return alias


def _choose_stored(session: Session, present: Sequence[Examination], reader: Reader) -> str:
    """Return the id of the stored examination that a name may refer to: one that the reader uploaded, if possible."""
    own = [item for item in present if examinations.has_alias(session, item.id, reader.name)]
    if not own and not reader.sees_every_case:
        raise Conflict("this image is already in the catalogue and comes with the worklist; ask for the next case")
    return (own or present)[0].id
