"""Register, promote, roll back, export and import model versions. Imports nothing heavy."""

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
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput, NotFound, StoredFileError
from mrseg_label.jobs import enqueue, queue
from mrseg_label.registry.archive import read_archive, write_archive
from mrseg_label.registry.layout import check_scheme, read_model, tree_digest
from mrseg_label.workspace import Workspace

LOCAL = "local"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StoredModel:
    """A model whose files are in their place.

    Attributes
    ----------
    path : the folder that nnU-Net's predictor opens, relative to the workspace.
    weights_digest : SHA-256 over all files of the version.
    """

    path: str
    weights_digest: str


def current(session: Session) -> ModelVersion:
    """The version that makes drafts now."""
    return models.current(session)


def get(session: Session, version: str) -> ModelVersion:
    """A version by name.

    Raises
    ------
    NotFound
        There is none of that name.
    """
    found = models.get(session, version)
    if found is None:
        raise NotFound(f"there is no model version {version[:64]!r}; see mrseg-label models list")
    return found


def store_files(workspace: OpenedWorkspace, version: str, source: Path) -> StoredModel:
    """Move a finished model into its place for ever.

    Files of that version without a row are what an attempt left that died before it could register them;
    they make way.

    Parameters
    ----------
    source : folder inside the workspace (a scratch or an attempt's folder) that holds
        ``Dataset123_Name/TRAINER__PLANS__CONFIGURATION/...`` and nothing else.

    Raises
    ------
    InvalidInput
        The name cannot be used, or the folder is not in nnU-Net's layout.
    Conflict
        Other files are registered under that version.
    """
    if not _VERSION.fullmatch(version) or version == BOOTSTRAP:
        raise InvalidInput(
            f"model version {version!r} must be 1 to 64 letters, digits, '.', '_' or '-', and not {BOOTSTRAP!r}"
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
    status: ModelStatus = ModelStatus.CANDIDATE,
) -> ModelVersion:
    """Add a version in the caller's transaction; its files must be in their place (:func:`store_files`).

    Raises
    ------
    Conflict
        There is a version of that name.
    """
    if models.get(session, version) is not None:
        raise Conflict(f"there is a model version {version} already")
    row = ModelVersion(
        version=version,
        round_number=round_number,
        parent=parent,
        status=status,
        path=stored.path,
        dataset_digest=dataset_digest,
        weights_digest=stored.weights_digest,
        metrics=metrics or {},
    )
    session.add(row)
    session.flush()
    audit.record(
        session, actor, "model.register", version, round=round_number, parent=parent, weights=stored.weights_digest
    )
    return row


def promote_in(session: Session, version: str, *, actor: str) -> ModelVersion:
    """Make a version the current one in the caller's transaction, and order its drafts.

    Raises
    ------
    NotFound, Conflict
        There is no such version, it failed, or it is the current one.
    """
    row = get(session, version)
    if row.status is ModelStatus.CURRENT:
        raise Conflict(f"model version {version} is the current one already")
    if row.status is ModelStatus.FAILED:
        raise Conflict(f"model version {version} failed and cannot make drafts; promote another")
    before = _make_current(session, row)
    row.promoted_at = now()
    audit.record(session, actor, "model.promote", version, before=before)
    return row


def promote(workspace: OpenedWorkspace, version: str, *, actor: str = LOCAL) -> ModelVersion:
    """Make a version the current one (see :func:`promote_in`)."""
    with workspace.catalog.begin() as session:
        return promote_in(session, version, actor=actor)


def rollback(workspace: OpenedWorkspace, *, actor: str = LOCAL) -> ModelVersion:
    """Make the version current that was promoted before the present one; called again, the one before that.

    Raises
    ------
    Conflict
        No version was promoted before.
    """
    with workspace.catalog.begin() as session:
        present = models.current(session)
        row = models.previously_promoted(session, present)
        if row is None:
            raise Conflict(f"no version was promoted before {present.version}; there is nothing to go back to")
        # promoted_at stays as it was, so that the next roll-back goes further back instead of here again.
        before = _make_current(session, row)
        audit.record(session, actor, "model.rollback", row.version, before=before)
        return row


def _make_current(session: Session, row: ModelVersion) -> str:
    present = models.current(session)
    present.status = ModelStatus.RETIRED
    session.flush()  # at no moment are two versions current
    row.status = ModelStatus.CURRENT
    session.flush()
    enqueue(session, queue.RENEW_PRESEGMENTATIONS, {"version": row.version}, key=queue.RENEW_PRESEGMENTATIONS)
    return present.version


def archive(workspace: OpenedWorkspace, version: str) -> Path:
    """The version as a zip that ``nnUNetv2_install_pretrained_model_from_zip`` installs; made when first asked for.

    Raises
    ------
    NotFound
        There is no such version, or it is the bootstrap, which has no files of its own.
    StoredFileError
        Its files differ from what was registered.
    """
    with workspace.catalog.read() as session:
        row = get(session, version)
    if row.path is None:
        raise NotFound(
            f"model version {version} is TotalSegmentator's and has no archive; the first round makes one that has"
        )
    target = workspace.models / f"{version}.zip"
    if not target.exists():
        check_files(workspace, row)
        write_archive(_root(workspace, version), target)
    return target


def check_files(workspace: Workspace, row: ModelVersion) -> None:
    """Raise :class:`StoredFileError` where a version's files differ from what was registered."""
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
        There is a file of that name.
    InvalidInput
        Its folder does not exist.
    """
    source = archive(workspace, version)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise Conflict(f"{target} is there already; choose another name or remove it")
    if not target.parent.is_dir():
        raise InvalidInput(f"the folder {target.parent} does not exist; make it first")
    temporary = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, temporary)
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def import_zip(workspace: OpenedWorkspace, file: Path, *, actor: str = LOCAL) -> ModelVersion:
    """Register a model that nnU-Net or another workspace exported, as a candidate.

    Its checkpoints are Python pickles: loading one runs the code in it. Only an admin may import, and only
    a file from a source that is trusted like a program.

    Raises
    ------
    InvalidInput
        The file is not an archive of one trained model, or its labels are not this workspace's.
    Conflict
        The same weights are registered already.
    """
    if not file.is_file():
        raise InvalidInput(f"{file} is not a file; name the zip that was exported")
    with workspace.scratch("import-") as folder:
        unpacked = folder / "model"
        unpacked.mkdir()
        read_archive(file, unpacked)
        check_scheme(read_model(unpacked), workspace.scheme)
        digest = tree_digest(unpacked)
        with workspace.catalog.read() as session:
            same = models.with_weights(session, digest)
        if same is not None:
            raise Conflict(
                f"{file.name} holds the weights of model version {same.version}, which is registered already"
            )
        version = f"import-{digest[:12]}"
        stored = store_files(workspace, version, unpacked)
    with workspace.catalog.begin() as session:
        return register(session, version, stored, actor=actor)


def _root(workspace: Workspace, version: str) -> Path:
    return workspace.path(f"models/{version}")
