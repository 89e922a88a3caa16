"""Close a workspace that others on the machine can read: it holds images of patients, settings with secrets, and accounts."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.paths import quoted
from mrseg_label.private import Loose, is_open, mend
from mrseg_label.workspace import Workspace

_SHOWN = 3


def close_workspace(workspace: Workspace) -> list[str]:
    """Close a workspace that an earlier version left open, when a server starts; returns warnings for the admin.

    Only the workspace's own folder is looked at, which closes what is in it: a large workspace is not read at every
    start.
    """
    root, shared = workspace.root, workspace.settings.shared_with_group
    root, shared = workspace.root, workspace.settings.shared_with_group
    if not is_open(root, shared):
        return []
    before = f"{root.stat().st_mode & 0o777:03o}"
    left = mend(root, shared)
    if left:
        return [
            f"{root} had the permissions {before}, so that others on this machine could read images, accounts and "
            f"secrets, and not all of it could be closed: {describe(left, root)}. {advise(root)}"
        ]
    return [
        f"{root} had the permissions {before}, so that others on this machine could read images, accounts and secrets. "
        "Now only its owner can. If people have accounts on this machine who should not have seen these, change the "
        "passwords, app passwords and keys, and OIDC_CLIENT_SECRET"
    ]


def describe(loose: Loose, root: Path) -> str:
    """Say what in a workspace is open, or another user's."""
    parts = []
    if loose.modes:
        parts.append(f"{len(loose.modes):,} entries have the wrong permissions, such as {_some(loose.modes, root)}")
    if loose.owners:
        parts.append(f"{len(loose.owners):,} entries belong to another user, such as {_some(loose.owners, root)}")
    return "; ".join(parts)


def advise(root: Path) -> str:
    """Say how to mend it."""
    return f"run as the owner of the folder, or as root: mrseg-label doctor --mend --workspace {quoted(root)}"


def _some(paths: tuple[Path, ...], root: Path) -> str:
    return ", ".join("." if path == root else path.relative_to(root).as_posix() for path in paths[:_SHOWN])
