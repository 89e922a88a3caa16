"""Which events a role may read: those whose documents it may read by a route."""

from __future__ import annotations

from collections.abc import Collection

from mrseg_label.catalog.types import Role, Scope, Topic
from mrseg_label.http import paths
from mrseg_label.http.permission_table import permission_table

_ROUTES = {
    Topic.ROUND: f"{paths.REST}/rounds/{{number}}",
    Topic.ASSIGNMENT: f"{paths.REST}/assignments/{{assignment}}",
    Topic.ANNOTATION: f"{paths.REST}/annotations/{{annotation}}",
    Topic.MODEL: f"{paths.REST}/models/{{version}}",
    Topic.NOTIFICATION: f"{paths.REST}/notifications/{{notification}}",
    Topic.JOB: f"{paths.REST}/jobs/{{job}}",
}
_PERMISSIONS = permission_table()


def permitted_topics(role: Role | None, scopes: Collection[Scope] = ()) -> frozenset[Topic]:
    """Return the topics of the events that a role may read; all of them without sign-in."""
    return frozenset(topic for topic, path in _ROUTES.items() if _PERMISSIONS.permits("GET", path, role, scopes))
