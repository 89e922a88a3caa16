"""Checks of who else on this machine can read the workspace and the key of its certificate."""

from __future__ import annotations

from collections.abc import Iterator

from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.maintenance.permissions import advise, describe
from mrseg_label.paths import quoted
from mrseg_label.private import find_loose
from mrseg_label.private import mend as close
from mrseg_label.workspace import Workspace


def check_permissions(workspace: Workspace, *, mend: bool) -> Check:
    """Check that only the owner of the workspace (or its group, on purpose) can read it.

    Parameters
    ----------
    mend : set permissions and, as root, owners first.
    """
    root, shared = workspace.root, workspace.settings.shared_with_group
    left = close(root, shared) if mend else find_loose(root, shared)
    if left:
        return Check("permissions", State.WARNING, describe(left, root), advise(root))
    who = "its owner and its group (SHARED_WITH_GROUP)" if shared else "its owner"
    return Check("permissions", State.OK, f"only {who} can read the workspace")


def check_tls_key(workspace: Workspace) -> Iterator[Check]:
    """Check that not everybody on this machine can read the private key of the server."""
    key = workspace.settings.tls_key
    if key is not None and key.is_file() and key.stat().st_mode & 0o007:
        yield Check(
            "TLS key", State.WARNING, f"everybody on this machine can read {key}", f"run: chmod 600 {quoted(key)}"
        )
