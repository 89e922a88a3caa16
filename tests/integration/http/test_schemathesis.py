"""Requests generated from our own OpenAPI document: none makes the server fail, and every reply fits the document.

References
----------
Hatfield-Dodds, Dygalo: Deriving Semantics-Aware Fuzzers from Web API Schemas, ICSE 2022.
https://doi.org/10.1145/3510454.3528637
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts import tokens
from mrseg_label.catalog.tables import Account
from mrseg_label.catalog.types import Role
from mrseg_label.http import paths
from tests.integration.conftest import PASSWORD, SETTINGS, Running, serving

CLIENTS = (None, Role.RADIOLOGIST, Role.ADMIN)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SHORT, SOAK = 2, 40  # examples of an operation that each kind of client sends


@dataclass
class Tried:
    """What was sent, and what was wrong with the answers."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        return sum(self.statuses.values())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of its own: an admin who does as chance will leaves nothing as it was."""
    settings_text = SETTINGS.replace('"off"', '"on"')
    with serving(tmp_path_factory.mktemp("made-up"), settings_text) as running:
        for role in (Role.RADIOLOGIST, Role.ADMIN):
            accounts.add(running.catalog, role, role, password=PASSWORD, actor="test")
        yield running


def token(server: Running, role: Role) -> str:
    """A token without a sign-in over HTTP, which guesses at passwords may have slowed down by now."""
    secret = tokens.signing_secret(server.catalog)
    with server.catalog.begin() as session:
        return tokens.issue(server.catalog, session, secret, session.get_one(Account, role), 1)


def known(server: Running) -> dict[str, list[Any]]:
    """Values that lead to something, by parameter: made-up ids would only ever be answered with 404."""
    headers = {"Authorization": f"Bearer {token(server, Role.RADIOLOGIST)}"}
    ticket = server.http.post("/activelearning/sequential", headers=headers, json={}).json()["id"]
    presegmentation = server.http.get(
        "/datastore/label", params={"label": ticket, "tag": "original"}, headers=headers
    ).content
    label_info = [{"name": name} for name in server.workspace.scheme.label_names]
    sent = server.http.put(
        "/datastore/label",
        params={"image": ticket},
        headers=headers,
        files={"label": ("a.nii.gz", presegmentation)},
        data={"params": json.dumps({"label_info": label_info})},
    )
    assert sent.status_code == 200, sent.text
    listed = server.http.get("/api/v1/annotations", headers=headers).json()["items"]
    images = [ticket, sent.json()["image"], *list(server.images)[:2]]
    annotations = [item["id"] for item in listed]
    return {
        "image": images, "label": images, "examination": images[1:], "tag": ["original", "final"], "model": ["mrseg"],
        "strategy": ["balanced", "random"], "version": ["bootstrap"], "number": [1, 2],
        "annotation": annotations, "other": annotations,
    }  # fmt: skip


def without_tuples(document: Any) -> Any:
    """Fixed-length arrays written as arrays of one kind: schemathesis stumbles over ``prefixItems`` in replies."""
    if isinstance(document, list):
        return [without_tuples(item) for item in document]
    if not isinstance(document, dict):
        return document
    made = {key: without_tuples(value) for key, value in document.items() if key != "prefixItems"}
    if "prefixItems" in document:
        kinds = [item for n, item in enumerate(document["prefixItems"]) if item not in document["prefixItems"][:n]]
        made["items"] = without_tuples({"anyOf": kinds})
    return made


def fuzz(server: Running, examples: int) -> Tried:
    """Send examples of every operation as each kind of client."""
    schema = schemathesis.openapi.from_dict(without_tuples(server.http.get("/openapi.json").json()))
    tried = Tried()
    values = known(server)
    with requests.Session() as web:
        web.trust_env = False
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            for role in CLIENTS:
                send(server, web, operation, role, values, examples, tried)
    return tried


def send(
    server: Running,
    web: requests.Session,
    operation: Any,
    role: Role | None,
    values: dict[str, list[Any]],
    examples: int,
    tried: Tried,
) -> None:
    made_up = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )
    headers: dict[str, str] = {}

    @seed(20)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=made_up, data=st.data())
    def one(case: Case[Any], data: st.DataObject) -> None:
        for container in (case.path_parameters, case.query):
            for name in values.keys() & (container or {}).keys():
                if data.draw(st.sampled_from([True, False])):
                    container[name] = data.draw(st.sampled_from(values[name]))
        if role is not None and (not headers or operation.label == "DELETE /auth/token"):
            headers["Authorization"] = f"Bearer {token(server, role)}"
        if operation.path == paths.EVENTS:  # it would go on for ever
            case.query = {**(case.query or {}), "follow": "false"}
        response = case.call(server.url, session=web, headers=headers, timeout=60)
        tried.statuses[f"{role or 'stranger'} {response.status_code}"] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            for failure in failures.exceptions:
                what = f"{operation.label} as {role or 'stranger'}: {response.status_code}: {failure!s:.300}"
                tried.wrong.setdefault(what.split("\n")[0], what)

    one()


def judge(tried: Tried, at_least: int) -> None:
    print(f"{tried.examples} examples: {dict(sorted(tried.statuses.items()))}")
    assert not tried.wrong, "\n".join([f"{len(tried.wrong)} of {tried.examples}:", *tried.wrong.values()])
    assert tried.examples >= at_least
    for role in (Role.RADIOLOGIST, Role.ADMIN):
        assert any(tried.statuses[f"{role} {status}"] for status in (200, 201)), "no request succeeded"
    assert tried.statuses["stranger 401"]


def test_made_up_requests_make_no_server_error(server: Running) -> None:
    judge(fuzz(server, SHORT), 100)


@pytest.mark.soak
def test_thousands_of_made_up_requests_make_no_server_error(server: Running) -> None:
    judge(fuzz(server, SOAK), 2000)
