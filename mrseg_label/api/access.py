"""Who may use which route: one table, from which the guard, the OpenAPI document and the documentation are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mrseg_label.accounts.rules import EVERYBODY, READERS, Rule
from mrseg_label.catalog.types import Role

DECIDERS = frozenset({Role.REVIEWER, Role.ADMIN})
PROGRAMS = frozenset({Role.SERVICE, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

__all__ = ["EVERYBODY", "READERS", "Access", "Rule", "rest_rules", "said", "table"]


class Access:
    """All rules of an application. What is in none of them is open to nobody."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)

    def find(self, method: str, path: str) -> Rule | None:
        """The rule of a request; the first that fits, as the router chooses its routes."""
        return next((rule for rule in self.rules if rule.method == method and rule.pattern.match(path)), None)

    def knows(self, path: str) -> bool:
        """Whether there is such a path, with whatever method."""
        return any(rule.pattern.match(path) for rule in self.rules)

    def describe(self, openapi: dict[str, Any]) -> dict[str, Any]:
        """Write into an OpenAPI document how to sign in, and for each operation who may use it."""
        schemes = openapi.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["password"] = {"type": "oauth2", "flows": {"password": {"scopes": {}, "tokenUrl": "/auth/token"}}}
        schemes["key"] = {"type": "http", "scheme": "bearer", "description": "an access token or a program's API key"}
        for rule in self.rules:
            operation = openapi["paths"].get(rule.path, {}).get(rule.method.lower())
            if operation is None:
                continue
            if rule.roles is None:
                operation["security"] = []
                continue
            operation["security"] = [{"password": []}, {"key": []}, *([{}] if rule.ticket else [])]
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), said(rule)]))
        return openapi


def said(rule: Rule) -> str:
    """A rule in words."""
    if rule.roles is None:
        return "Open to everybody."
    who = ", ".join(role for role in Role if role in rule.roles)
    return (
        f"For: {who}.{' Or with the ticket of the case.' if rule.ticket else ''}{f' {rule.note}.' if rule.note else ''}"
    )


def rest_rules(prefix: str) -> Sequence[Rule]:
    """The rules of the REST interface, and of health and figures at the root."""
    own = "Radiologists see their own"
    under = [
        Rule("GET", "/models", EVERYBODY),
        Rule("GET", "/models/current", EVERYBODY),
        Rule("POST", "/models/rollback", ADMINS),
        Rule("GET", "/models/{version}", EVERYBODY),
        Rule("GET", "/models/{version}/archive", PROGRAMS),
        Rule("POST", "/models/{version}/promote", ADMINS),
        Rule("GET", "/rounds", EVERYBODY),
        Rule("POST", "/rounds", ADMINS),
        Rule("GET", "/rounds/{number}", EVERYBODY),
        Rule("POST", "/rounds/{number}/cancel", ADMINS),
        Rule("POST", "/rounds/{number}/retry", ADMINS),
        Rule("GET", "/rounds/{number}/log", ADMINS),
        Rule("GET", "/examinations", EVERYBODY),
        Rule("POST", "/examinations/hand-out", READERS, note="A review is for reviewers and admins"),
        Rule("GET", "/examinations/{examination}", EVERYBODY),
        Rule("GET", "/examinations/{examination}/annotations", EVERYBODY),
        Rule("POST", "/examinations/{examination}/release", READERS),
        Rule("POST", "/examinations/{examination}/unusable", READERS, note="Radiologists: of cases in their hands"),
        Rule("GET", "/annotations", EVERYBODY, note=own),
        Rule("GET", "/annotations/{annotation}", EVERYBODY, note=own),
        Rule("GET", "/annotations/{annotation}/mask", READERS, note=own),
        Rule("GET", "/annotations/{annotation}/compare/{other}", DECIDERS),
        Rule("POST", "/annotations/{annotation}/accept", DECIDERS),
        Rule("POST", "/annotations/{annotation}/reject", DECIDERS),
        Rule("POST", "/annotations/{annotation}/withdraw", READERS, note="Radiologists: their own"),
        Rule("POST", "/annotations/{annotation}/restore", DECIDERS),
        Rule("GET", "/progress", EVERYBODY),
        Rule("GET", "/metrics/learning-curve", EVERYBODY),
        Rule("GET", "/metrics/effort", EVERYBODY),
        Rule("GET", "/audit", ADMINS),
    ]
    return [
        Rule("GET", "/healthz", None),
        Rule("GET", "/readyz", None),
        Rule("GET", "/metrics", PROGRAMS),
        *(Rule(rule.method, prefix + rule.path, rule.roles, note=rule.note) for rule in under),
    ]


def table(rules: Iterable[Rule]) -> str:
    """The rules as a table in Markdown."""
    columns = ["stranger", *Role]
    lines = [
        f"| route | {' | '.join(columns)} | |",
        f"| --- |{' :---: |' * len(columns)} --- |",
    ]
    for rule in rules:
        allowed = ["yes" if rule.roles is None else "ticket" if rule.ticket else ""]
        allowed += ["yes" if rule.roles is None or role in rule.roles else "" for role in Role]
        lines.append(f"| `{rule.method} {rule.path}` | {' | '.join(allowed)} | {rule.note} |")
    return "\n".join(lines) + "\n"
