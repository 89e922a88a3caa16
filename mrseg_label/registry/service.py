"""Register, promote, roll back and export model versions."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, models
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import LOCAL, ModelStatus
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput, NotFound, StoredFileError
from mrseg_label.files import replacing
from mrseg_label.jobs import enqueue, queue
from mrseg_label.registry.archive import write_archive
from mrseg_label.registry.layout import read_model, tree_digest
from mrseg_label.workspace import Workspace

IMPORTED = "import-"  # how the names of imported versions begin
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StoredModel:
    """A model whose files are stored.

    Attributes
    ----------
    path : folder that nnU-Net's predictor opens, relative to the workspace.
    weights_digest : SHA-256 over all files of the version.
    """

    path: str
    weights_digest: str


def current(session: Session) -> ModelVersion:
    """Return the version that makes pre-segmentations now."""
    return models.current(session)


def get(session: Session, version: str) -> ModelVersion:
    """Return a version by name.

    Raises
    ------
    NotFound
        No version has that name.
    """
    found = models.get(session, version)
    if found is None:
        raise NotFound(f"there is no model version {version[:64]!r}; mrseg-label models list shows those that exist")
    return found


def store_files(workspace: OpenedWorkspace, version: str, source: Path) -> StoredModel:
    """Move a finished model to its permanent place.

    Files of that version without a row were left by an attempt that ended before it registered them; they are
    replaced.

    Parameters
    ----------
    source : folder inside the workspace that holds ``Dataset123_Name/TRAINER__PLANS__CONFIGURATION/...`` and
        nothing else.

    Raises
    ------
    InvalidInput
        The name cannot be used, or the folder does not have nnU-Net's layout.
    Conflict
        Other files are registered under that version.
    """
    if not _VERSION.fullmatch(version) or version == BOOTSTRAP:
        raise InvalidInput(
            f"model version {version!r}: the name must have 1 to 64 letters, digits, '.', '_' or '-', and must not be "
            f"{BOOTSTRAP!r}"
        )
    read_model(source)
    digest = tree_digest(source)
    root = _root(workspace, version)
    if root.exists() and tree_digest(root) != digest:
        with workspace.catalog.read() as session:
            if models.get(session, version) is not None:
                raise Conflict(f"other files are registered as model version {version}; choose another name")
        with workspace.scratch("orphan-") as folder:
            root.rename(folder / version)
    if not root.exists():
        workspace.put_tree(f"models/{version}", source)
    path = read_model(root).folder.relative_to(workspace.root).as_posix()
    return StoredModel(path, digest)


def register(
    session: Session,
    version: str,
    stored: StoredModel,
    *,
    actor: str,
    round_number: int | None = None,
    parent: str | None = None,
    dataset_digest: str | None = None,
    metrics: dict[str, Any] | None = None,
    record: dict[str, Any] | None = None,
    card: dict[str, Any] | None = None,
    licence: str | None = None,
    status: ModelStatus = ModelStatus.CANDIDATE,
    tried: bool = True,
) -> ModelVersion:
    """Add a version within an open transaction; its files must be stored already (:func:`store_files`).

    Parameters
    ----------
    record : how it was trained: settings, seed, programs, machine, duration, first weights.
    card : of its data set (:mod:`mrseg_label.rounds.card`).
    licence : of its weights.
    tried : whether it has made a prediction here, as the model of a round has; another must be tried before it can be
        promoted (:func:`mrseg_label.registry.trials.try_version`).

    Raises
    ------
    Conflict
        A version of that name exists.
    """
    if models.get(session, version) is not None:
        raise Conflict(f"model version {version} exists already; choose another name")
    row = ModelVersion(
        version=version,
        round_number=round_number,
        parent=parent,
        status=status,
        path=stored.path,
        dataset_digest=dataset_digest,
        weights_digest=stored.weights_digest,
        metrics=metrics or {},
        record=record or {},
        card=card or {},
        licence=licence,
        tried_at=now() if tried else None,
    )
    session.add(row)
    session.flush()
    audit.record(
        session, actor, "model.register", version, round=round_number, parent=parent, weights=stored.weights_digest
    )
    return row


def promote_in(session: Session, version: str, *, actor: str) -> ModelVersion:
    """Make a version the current one within an open transaction, and enqueue its pre-segmentations.

    Raises
    ------
    NotFound
        The version does not exist.
    Conflict
        The version failed, has not been tried, or is the current one.
    """
    row = get(session, version)
    if row.status is ModelStatus.CURRENT:
        raise Conflict(f"model version {version} is already the current one")
    again = f"mrseg-label models try {version}"
    if row.problem:
        raise Conflict(f"model version {version} does not work here: {row.problem}. Try it again with: {again}")
    if row.status is ModelStatus.FAILED:
        raise Conflict(f"model version {version} failed and cannot make pre-segmentations; promote another one")
    if row.tried_at is None and row.path is not None:
        raise Conflict(
            f"model version {version} has not been tried here, so nobody knows whether it works; try it with: {again}"
        )
    before = _make_current(session, row)
    row.promoted_at = now()
    audit.record(session, actor, "model.promote", version, before=before)
    return row


def promote(workspace: OpenedWorkspace, version: str, *, actor: str = LOCAL) -> ModelVersion:
    """Make a version the current one (see :func:`promote_in`)."""
    with workspace.catalog.begin() as session:
        return promote_in(session, version, actor=actor)


def rollback(workspace: OpenedWorkspace, *, actor: str = LOCAL) -> ModelVersion:
    """Make the version current that was promoted before the current one; called again, the one before that.

    Raises
    ------
    Conflict
        No version was promoted before.
    """
    with workspace.catalog.begin() as session:
        present = models.current(session)
        row = models.previously_promoted(session, present)
        if row is None:
            raise Conflict(f"no version was promoted before {present.version}, so there is nothing to roll back to")
        # promoted_at stays as it was, so that the next roll-back goes further back instead of returning here.
        before = _make_current(session, row)
        audit.record(session, actor, "model.rollback", row.version, before=before)
        return row


def _make_current(session: Session, row: ModelVersion) -> str:
    present = models.current(session)
    present.status = ModelStatus.RETIRED
    session.flush()  # so that two versions are never current at once
    row.status = ModelStatus.CURRENT
    session.flush()
    enqueue(session, queue.RENEW_PRESEGMENTATIONS, {}, key=queue.RENEW_PRESEGMENTATIONS)
    if row.version != BOOTSTRAP:
        payload = {"model_version": row.version}
        enqueue(session, queue.AUDIT_ANNOTATIONS, payload, key=row.version, priority=queue.BACKGROUND_PRIORITY)
    return present.version


def archive(workspace: OpenedWorkspace, version: str) -> Path:
    """Return a zip of the version that ``nnUNetv2_install_pretrained_model_from_zip`` installs; made on first use.

    Raises
    ------
    NotFound
        The version does not exist, or is the bootstrap, which has no files of its own.
    StoredFileError
        The files differ from those that were registered.
    """
    with workspace.catalog.read() as session:
        row = get(session, version)
    if row.path is None:
        raise NotFound(
            f"model version {version} is TotalSegmentator and cannot be exported; export a version that a round trained"
        )
    target = workspace.models / f"{version}.zip"
    if not target.exists():
        check_files(workspace, row)
        write_archive(_root(workspace, version), target)
    return target


def check_files(workspace: Workspace, row: ModelVersion) -> None:
    """Check the files of a version against their digest.

    Raises
    ------
    StoredFileError
        They are missing or differ.
    """
    if row.path is None:
        return
    root = _root(workspace, row.version)
    if not root.is_dir():
        raise StoredFileError(f"models/{row.version} is missing from {workspace.root}; restore it from a backup")
    found = tree_digest(root)
    if found != row.weights_digest:
        raise StoredFileError(
            f"models/{row.version} has digest {found} instead of {row.weights_digest}; restore it from a backup"
        )


def export(workspace: OpenedWorkspace, version: str, target: Path) -> Path:
    """Copy a version's archive to ``target``.

    Raises
    ------
    Conflict
        A file of that name exists.
    InvalidInput
        The folder for it does not exist.
    """
    source = archive(workspace, version)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise Conflict(f"{target} exists already; choose another name or remove it")
    if not target.parent.is_dir():
        raise InvalidInput(f"the folder {target.parent} does not exist; create it first")
    with replacing(target, durable=True) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _root(workspace: Workspace, version: str) -> Path:
    return workspace.path(f"models/{version}")
