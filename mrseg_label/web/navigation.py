"""What the frame of a page offers its reader: the pages that the permission table permits, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from mrseg_label.catalog.types import Role, Scope
from mrseg_label.http import paths
from mrseg_label.http.permission_table import permission_table
from mrseg_label.http.readers import identity_of, is_stranger

_PERMISSIONS = permission_table()
# Path, name, icon. What is not built yet has no entry.
_PAGES = (
    (paths.DASHBOARD, "Overview", "overview"),
    (paths.MINE, "My cases", "person"),
    (paths.EXAMINATIONS, "Examinations", "examinations"),
    (paths.QUALITY, "Quality", "quality"),
    (paths.EFFORT, "Effort", "effort"),
    (paths.READERS, "Readers", "person"),
    (paths.ROUNDS, "Rounds", "rounds"),
    (paths.MODELS, "Models", "models"),
    (paths.IMPORT, "Import images", "down"),
    (paths.USERS, "Users", "users"),
    (paths.AUDIT, "Audit trail", "audit"),
    (paths.CONNECT, "Connect 3D Slicer", "connect"),
)


@dataclass(frozen=True)
class Entry:
    """An entry of the navigation; ``is_here`` if the page shown is it or below it."""

    path: str
    name: str
    icon: str
    is_here: bool


def may(request: Request, method: str, path: str) -> bool:
    """Whether whoever sent a request may call a route, given by its path in the permission table."""
    if is_stranger(request):
        return False
    identity = identity_of(request)
    scopes: frozenset[Scope] = frozenset() if identity is None else identity.scopes
    return _PERMISSIONS.permits(method, path, None if identity is None else identity.role, scopes)


def entries(request: Request) -> list[Entry]:
    """Return the navigation of whoever sent a request; empty for a stranger."""
    found = [
        Entry(path, name, icon, _is_here(request.url.path, path))
        for path, name, icon in _PAGES
        if may(request, "GET", path)
    ]
    identity = identity_of(request)
    if identity is not None:
        found.sort(key=lambda entry: entry.path != first_page(identity.role))
    return found


def first_page(role: Role) -> str:
    """Return the page that an account sees first: a radiologist the own work, others the overview."""
    return paths.MINE if role is Role.RADIOLOGIST else paths.DASHBOARD


def _is_here(shown: str, path: str) -> bool:
    if path == paths.MODELS and shown == paths.CHOOSE_COMPARISON:
        return True
    return shown == path or (path != paths.DASHBOARD and shown.startswith(f"{path}/"))
