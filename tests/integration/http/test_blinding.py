"""A radiologist's gold and repeated cases look over HTTP like every other: what is answered, and how it changes.

A reader takes cases and submits them through the Slicer protocol, and reads before, meanwhile and afterwards whatever a
radiologist may read. What changed must be the same whichever kind of case it was.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import nibabel as nib
import numpy as np
import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.annotation.blind_readings import mark_gold
from mrseg_label.annotation.review import send_back
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import BlindKind, Role
from mrseg_label.http import paths
from mrseg_label.http.permission_table import permission_table
from tests.integration.conftest import PASSWORD, Guarded, serving
from tests.support.signed_in import bearer

SETTINGS = "WORKERS = 0\nWITHOUT_DRAFT_SHARE = 0.5\nGOLD_SHARE = 0.3\nREPEAT_SHARE = 0.4\nREPEAT_AFTER_DAYS = 0\n"
CASES, GOLD, MOST = 24, 4, 60
OPEN_ALL = {"/datastore/": {"output": "all"}}
# What differs between any two cases. Their images differ too, and so does what is drawn.
VARYING = (
    # Of the case that waits and in whose place another may come: its own is that of every case.
    (r"held-out participant, for the evaluation of the next round; ", ""),
    (r"\d{4}-\d\d-\d\dT[\d:.+Z]+", "<time>"), (r"SHA256:[0-9a-f]{64}|\b[0-9a-f]{64}\b", "<digest>"),
    (r"\b(as|an|ex|ac|ps|tk|jo)-[0-9a-z]{16}\b", r"<\1>"), (r"case [0-9a-z]{6}", "<case>"), (r"\b[0-9a-f]{16}\b", "<request>"), (r"[A-Za-z0-9_-]{22,}", "<ticket>"),
)  # fmt: skip
Leaves = Counter[tuple[str, str]]


class Kind(NamedTuple):
    """Why a case is assigned, and whether it comes without its draft, which its reader sees."""

    blind: BlindKind | None
    is_empty: bool


# Gold cases always come with their draft.
KINDS = {Kind(one, is_empty) for one in (None, BlindKind.REPEAT) for is_empty in (False, True)} | {
    Kind(BlindKind.GOLD, False)
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server whose radiologists get gold and repeated cases; a reviewer has made some gold ones."""
    with serving(tmp_path_factory.mktemp("blinding"), SETTINGS, CASES) as server:
        for name, role in (("ada", Role.RADIOLOGIST), ("rita", Role.REVIEWER)):
            accounts.add(server.catalog, name, role, password=PASSWORD, actor="test")
        guarded = Guarded(**vars(server), tokens={})
        rita = guarded.sign_in("rita")
        for _ in range(GOLD):
            case = next_case(guarded, rita)["id"]
            assert send(guarded, rita, case, tmp_path_factory.mktemp("gold")).status_code == 200
        with guarded.catalog.read() as session:
            made = [row.id for row in session.query(Annotation)]
        for annotation in made:
            mark_gold(guarded.catalog, annotation, actor="test")
        yield guarded


def plain(value: object) -> str:
    """A value without what differs between any two cases."""
    text = str(value)
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def leaves(document: Any, where: str) -> Iterator[tuple[str, object]]:
    """Every value of a document with its place; places in a list are one, and numbers in it are not told apart."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{where}.{plain(key)}")
    elif isinstance(document, list):
        yield f"{where}.length", len(document)
        for value in document:
            yield from (
                (place, "<number>" if type(one) in (int, float) else one) for place, one in leaves(value, f"{where}[]")
            )
    elif counted := re.search(r"(\d+) of \d+ cases annotated", str(document)):
        yield where, "<counts>"
        yield f"{where}.annotated".replace("[]", ""), int(counted[1])
    else:
        yield where, document


class Reading:
    """All that a radiologist may read, at one moment."""

    def __init__(self, study: Guarded, token: str) -> None:
        routes = [
            item.path
            for item in permission_table().permissions
            if item.method == "GET" and item.permits(Role.RADIOLOGIST, ())
        ]
        documents = (paths.REST, "/datastore/", "/info", "/train", "/activelearning")
        asked = [path for path in routes if path.startswith(documents) and "{" not in path and path != paths.EVENTS]
        assert f"{paths.REST}/progress" in asked and "/train/" in asked and "/info/" in asked
        asked += [f"{paths.REST}/assignments?state=all", f"{paths.REST}/examinations?limit=200"]
        for examination in study.images:
            asked += [
                f"{paths.REST}/examinations/{examination}",
                f"{paths.REST}/examinations/{examination}/annotations",
            ]
        self.numbers: dict[str, float] = {}
        self.others: Leaves = Counter()
        for path in asked:
            reply = study.http.get(path, params=OPEN_ALL.get(path), headers=bearer(token))
            body = reply.json() if "json" in reply.headers["content-type"] else len(reply.content)
            for place, value in (("status", reply.status_code), *leaves(body, plain(path))):
                if isinstance(value, int | float) and not isinstance(value, bool) and "[]" not in place:
                    self.numbers[place] = value
                else:
                    self.others[place, plain(value)] += 1

    def since(self, before: Reading) -> dict[str, object]:
        """What changed."""
        changed: dict[str, object] = {
            place: value - before.numbers.get(place, 0)
            for place, value in self.numbers.items()
            if value != before.numbers.get(place, 0)
        }
        changed |= {f"+ {place}": count for place, count in (self.others - before.others).items()}
        return changed | {f"- {place}": count for place, count in (before.others - self.others).items()}


def next_case(study: Guarded, token: str) -> dict[str, Any]:
    """Get the next case, which has a draft."""
    reply = study.http.post("/activelearning/sequential", headers=bearer(token), json={"client_id": "user-xyz"})
    assert reply.status_code == 200, reply.text
    case: dict[str, Any] = reply.json()
    return case


def send(study: Guarded, token: str, ticket: str, tmp_path: Path) -> httpx.Response:
    """Submit a mask of one structure."""
    image = study.http.get("/datastore/image", params={"image": ticket}, headers=bearer(token))
    (tmp_path / "image.nii.gz").write_bytes(image.content)
    grid = nib.load(tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(np.ones(grid.shape, np.uint8), grid.affine), tmp_path / "mask.nii.gz")
    return study.http.put(
        "/datastore/label",
        params={"image": ticket},
        headers=bearer(token),
        files={"label": ("mask.nii.gz", (tmp_path / "mask.nii.gz").read_bytes())},
        data={"params": json.dumps({"label_info": [{"name": "liver"}]})},
    )


def protocol(study: Guarded, token: str, case: dict[str, Any], tmp_path: Path) -> dict[str, object]:
    """Open and submit a case as Slicer does; what is answered on the way."""
    ticket, found = case["id"], dict(leaves(case, "sample"))
    asked: dict[str, dict[str, str]] = {
        "/datastore/image/info": {"image": ticket}, "/datastore/image": {"image": ticket},
        "/datastore/label/info": {"label": ticket, "tag": "original"}, "/datastore/label": {"label": ticket, "tag": "original"},
        "/datastore/label?tag=final": {"label": ticket},
    }  # fmt: skip
    for path, params in asked.items():
        reply = study.http.get(path, params=params, headers=bearer(token))
        found[f"{path} status"] = reply.status_code
        found |= dict(leaves(dict(reply.headers), f"{path} header"))
        if "json" in reply.headers["content-type"]:
            found |= dict(leaves(reply.json(), path))
    infer = study.http.post(f"/infer/mrseg?image={ticket}&output=json", headers=bearer(token), data={"params": "{}"})
    found |= dict(leaves(infer.json(), "infer"))
    answer = send(study, token, ticket, tmp_path)
    found["submit status"] = answer.status_code
    found |= dict(leaves(dict(answer.headers), "submit header")) | dict(leaves(answer.json(), "submit"))
    for name in [name for name in found if re.search(r"header\.(date|content-length|etag|x-request-id)", name)]:
        del found[name]
    return {name: plain(value) for name, value in found.items()}


def test_nothing_that_a_radiologist_reads_tells_one_kind_of_case_from_another(study: Guarded, tmp_path: Path) -> None:
    token = study.sign_in("ada")
    before = Reading(study, token)
    found: dict[Kind, dict[str, dict[str, object]]] = {}
    for _ in range(MOST):
        case = next_case(study, token)
        with study.catalog.read() as session:
            row = session.query(Assignment).filter_by(ticket=case["id"]).one()
            kind = Kind(row.blind, bool(row.draft_withheld))
        if kind in found:  # the next of another kind is looked at
            assert send(study, token, case["id"], tmp_path).status_code == 200
            before = Reading(study, token)
            continue
        taken = Reading(study, token)
        answered = protocol(study, token, case, tmp_path)
        sent = Reading(study, token)
        found[kind] = {"taken": taken.since(before), "answered": answered, "sent": sent.since(taken)}
        before = sent
        if len(found) == len(KINDS):
            break
    assert set(found) == set(KINDS), "no case of some kind was drawn"
    ordinary = found[Kind(None, False)]
    assert ordinary["taken"][f"{paths.REST}/progress.waiting"] == -1  # what changes is seen
    assert ordinary["sent"][f"{paths.REST}/progress.annotated_total"] == 1
    assert ordinary["sent"]["/info/.datastore.completed"] == 1
    # Drafts of one moment look alike; that of a case which was annotated long ago would not.
    for name in ("created", "model"):
        assert ordinary["answered"][f"/datastore/label/info.{name}"] == "None"
    for route in ("/datastore/image", "/datastore/label"):
        assert ordinary["answered"][f"{route} header.last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    told = [
        (kind, moment, name, seen[moment].get(name), expected.get(name))
        for kind, seen in found.items()
        for moment, expected in found[Kind(None, kind.is_empty)].items()
        for name in sorted(seen[moment].keys() | expected.keys())
        if seen[moment].get(name) != expected.get(name)
    ]
    assert not told, "\n".join(map(str, told))


def test_a_radiologist_is_not_shown_which_cases_are_annotated(study: Guarded) -> None:
    ada, rita = (bearer(study.sign_in(name)) for name in ("ada", "rita"))
    filters = [f"{paths.REST}/examinations?{one}" for one in ("state=annotated", "annotated=true", "excluded=true")]
    figures = [f"{paths.REST}/metrics/{one}" for one in ("effort", "learning-curve", "learning-curve/groups")]
    for path in (*filters, *figures, "/dashboard/examinations?state=annotated", "/dashboard/charts/effort.csv"):
        refused = study.http.get(path, headers=ada)
        assert refused.status_code == 403 and "measure agreement" in refused.text, path
        assert study.http.get(path, headers=rita).status_code in (200, 404), path  # 404: nothing to draw yet
    annotated = study.http.get(filters[0], headers=rita).json()["items"][0]["id"]
    pages = {
        name: study.http.get("/dashboard", headers=headers).text for name, headers in (("ada", ada), ("rita", rita))
    }
    assert "have an annotated case" in pages["rita"] and "have an annotated case" not in pages["ada"]
    assert "Annotated cases by station" in pages["rita"] and "Annotated cases by station" not in pages["ada"]
    assert "View annotation 1" in study.http.get(f"/dashboard/examinations/{annotated}", headers=rita).text
    assert "View annotation" not in study.http.get(f"/dashboard/examinations/{annotated}", headers=ada).text


def test_what_came_back_is_named_by_its_assignment(study: Guarded, tmp_path: Path) -> None:
    token, row = study.sign_in("ada"), None
    while row is None:  # a case that counts
        assert send(study, token, next_case(study, token)["id"], tmp_path).status_code == 200
        with study.catalog.read() as session:
            newest = session.query(Annotation).filter_by(author="ada").order_by(Annotation.created_at.desc()).first()
        row = newest if newest is not None and newest.is_final else None
    send_back(study.workspace, row.id, actor="eva", comment="the liver")
    text = study.http.get("/info/", headers=bearer(token)).json()["models"]["mrseg"]["description"]
    assert f"Sent back: case {(row.assignment_id or '')[-6:]}, by eva: the liver" in text and "ex-" not in text
