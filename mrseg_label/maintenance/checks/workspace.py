"""Checks of a workspace: its folder, its disk, its database, sign-in, and every stored file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.cluster import usable_address
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import MrsegError
from mrseg_label.maintenance.backup import verify_files
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.maintenance.checks.counts import check_counts
from mrseg_label.maintenance.checks.dask import check_dask
from mrseg_label.maintenance.checks.database import check_database
from mrseg_label.maintenance.checks.deletions import check_deletions
from mrseg_label.maintenance.checks.installation import check_networks, check_weights
from mrseg_label.maintenance.checks.notifications import check_notifications
from mrseg_label.maintenance.checks.permissions import check_permissions, check_tls_key
from mrseg_label.maintenance.checks.rounds import check_newest_round
from mrseg_label.maintenance.checks.settings import check_settings
from mrseg_label.maintenance.checks.sign_in import check_sign_in
from mrseg_label.maintenance.sweep import sweep
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.pruning import nnunet_usage
from mrseg_label.text import listed
from mrseg_label.workspace import Workspace

LOW_DISK_GB = 20.0
SHOWN_FILES = 10


def check_workspace(
    root: Path, *, verify: bool, progress: Callable[[int, int], None], mend: bool = False
) -> Iterator[Check]:
    """Check a workspace.

    Parameters
    ----------
    verify : compare every stored file with its digest too, and clear away what killed processes left behind.
    progress : called with the number of files that were verified and of all files.
    mend : close what others on the machine can read, and count the cases anew where the kept numbers are wrong.
    """
    if not (root / CONFIG_FILE).is_file():
        yield check_weights(None)
        yield Check(
            "workspace",
            State.WARNING,
            f"{root.absolute()} is not a workspace",
            "create one with: mrseg-label init DIR, or name one with --workspace",
        )
        return
    try:
        workspace = Workspace.open(root)
        structures = len(workspace.scheme)
    except MrsegError as error:
        yield Check("workspace", State.FAILED, str(error))
        return
    yield from check_networks(workspace)
    profile = workspace.settings.training_profile
    yield Check("workspace", State.OK, f"{workspace.root}, {structures} structures, profile {profile}")
    yield from check_settings(workspace, computes=workspace.settings.workers > 0)
    yield check_permissions(workspace, mend=mend)
    yield from check_tls_key(workspace)
    yield _check_disk(workspace.root)
    yield _check_training_files(workspace)
    usable, exists = True, False
    for check in check_database(workspace):
        usable = usable and check.state is not State.FAILED
        exists = exists or (check.name == "database" and check.state is State.OK)
        yield check
    if exists:
        yield check_sign_in(workspace)
        yield check_counts(workspace, mend=mend)
        yield from check_newest_round(workspace)
        yield from check_deletions(workspace)
        yield from check_notifications(workspace)
    address = workspace.settings.dask_scheduler
    if address is not None and usable_address(address):
        yield check_dask(workspace, address)
    if verify and usable:
        yield from _check_files(workspace, progress)


def _check_disk(root: Path) -> Check:
    usage = shutil.disk_usage(root)
    free = usage.free / 1e9
    detail = f"{free:.0f} of {usage.total / 1e9:.0f} GB free"
    if free < LOW_DISK_GB:
        advice = "make room: a round needs tens of GB for preprocessed images"
        return Check("disk", State.WARNING, detail, advice)
    return Check("disk", State.OK, detail)


def _check_training_files(workspace: Workspace) -> Check:
    usage = nnunet_usage(NnunetFolders.under(workspace.nnunet))
    names = listed([name.partition("_")[2] for name in usage.datasets], SHOWN_FILES) or "no round"
    detail = f"{usage.size / 1e9:.1f} GB in {workspace.nnunet}: {names}; {usage.cases} preprocessed cases"
    return Check("training files", State.OK, detail)


def _check_files(workspace: Workspace, progress: Callable[[int, int], None]) -> Iterator[Check]:
    try:
        opened = OpenedWorkspace.of(workspace, Catalog(workspace.database_url))
    except MrsegError as error:
        yield Check("digests", State.FAILED, str(error))
        return
    try:
        yield check_digests(opened, progress)
        yield check_leftovers(opened)
    finally:
        opened.close()


def check_digests(workspace: OpenedWorkspace, progress: Callable[[int, int], None]) -> Check:
    """Check that every stored file is what it was when it was stored."""
    try:
        damaged = list(verify_files(workspace, progress))
    except MrsegError as error:
        return Check("digests", State.FAILED, str(error))
    if damaged:
        return Check("digests", State.FAILED, "; ".join(damaged), "restore these files from a backup")
    return Check("digests", State.OK, "every stored file has the digest it was stored with")


def check_leftovers(workspace: OpenedWorkspace) -> Check:
    """Remove temporary files that killed processes left behind, and list whole files without a row."""
    try:
        left = sweep(workspace)
    except MrsegError as error:
        return Check("leftovers", State.FAILED, str(error))
    removed = f"; removed {len(left.removed)} temporary files older than a day" if left.removed else ""
    if not left.without_row:
        return Check("leftovers", State.OK, f"no leftover files older than a day{removed}")
    shown = listed(left.without_row, SHOWN_FILES)
    return Check(
        "leftovers",
        State.WARNING,
        f"{len(left.without_row)} files have no row in the database and are never read: {shown}{removed}",
        "a process was killed after it stored them and before it recorded them; they can be deleted",
    )
