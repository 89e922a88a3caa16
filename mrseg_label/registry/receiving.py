"""Import a model that an administrator sends from a browser or a program, and have a worker try it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import BinaryIO

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.errors import InvalidInput
from mrseg_label.files import receive
from mrseg_label.registry.importing import import_zip
from mrseg_label.registry.label_names import parse_label_map

MAX_MAP_BYTES = 1024 * 1024  # a line for each label; what is larger is no map
_MAX_NAME = 100
SentFile = tuple[str, BinaryIO]  # its name at the sender, which messages show, and its content


def import_sent(
    workspace: OpenedWorkspace,
    model: SentFile | None,
    *,
    actor: str,
    orientation: str = "",
    labels: SentFile | None = None,
    licence: str = "",
) -> ModelVersion:
    """Register a model as :func:`~mrseg_label.registry.importing.import_zip` does, and enqueue its trial.

    Parameters
    ----------
    model : the zip; None where the sender chose no file.
    orientation, licence : empty where they are not stated.
    labels : label map, as :func:`~mrseg_label.registry.label_names.read_label_map` reads it.

    Raises
    ------
    InvalidInput, TooLarge, Conflict
        As an import of that file; or no file was sent.
    """
    if model is None:
        raise InvalidInput("no file was sent; choose the zip of a trained nnU-Net")
    chosen = _read_map(*labels) if labels is not None else None
    with workspace.scratch("sent-") as folder:
        name, stream = model
        return import_zip(
            workspace,
            receive(stream, folder / _shown_name(name)),
            actor=actor,
            orientation=orientation.strip() or None,
            labels=chosen,
            licence=licence.strip() or None,
            enqueue_trial=True,
        )


def _read_map(name: str, stream: BinaryIO) -> dict[str, str]:
    data, shown = stream.read(MAX_MAP_BYTES + 1), _shown_name(name)
    if len(data) > MAX_MAP_BYTES:
        raise InvalidInput(f"the label map {shown} is larger than {MAX_MAP_BYTES // 1024} kB; send the text file alone")
    return parse_label_map(data, shown)


def _shown_name(name: str) -> str:
    """Turn a name that a client states into that of a file: without folders, drives and control characters."""
    last = PurePosixPath(name.replace("\\", "/").replace(":", "/")).name
    kept = "".join(letter for letter in last if letter.isprintable()).encode(errors="replace").decode()
    return kept.lstrip(".")[-_MAX_NAME:] or "model"
