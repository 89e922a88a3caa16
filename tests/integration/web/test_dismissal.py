"""Suspicious masks that are in order are dismissed on the page, over REST and in a terminal, and come back with a new reason."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.queries import audit, suspicions
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import Reason, SuspicionKind
from mrseg_label.catalog.tables import Annotation, Dismissal, SuspiciousMask
from mrseg_label.cli import app
from mrseg_label.clock import now
from tests.integration.web.conftest import URL, Browser
from tests.integration.web.test_dashboard import words

PAGE = "/dashboard/quality"


def listed(browser: Browser, query: str = "") -> list[str]:
    return [one["id"] for one in browser.http.get(f"/api/v1/suspicious?{query}").json()["items"]]


def find_again(browser: Browser, mask: str, more: Sequence[Reason] = ()) -> None:
    """Let a worker find everything anew, and more about one mask; figures of known reasons change."""
    with browser.workspace.catalog.begin() as session:
        found = {
            (MaskKind(row.mask), row.mask_id): [
                Reason(SuspicionKind(one["kind"]), one["structure"], one["text"] + " or so", one["score"] * 0.9)
                for one in row.reasons
            ]
            for row in session.query(SuspiciousMask)
        }
        found[MaskKind.ANNOTATION, mask] += more
        suspicions.replace(session, found, now())


def test_a_mask_is_dismissed_and_comes_back_with_a_new_reason(own: Browser) -> None:
    first, second, third = listed(own)
    text = own.get(PAGE)
    assert text.count("It is in order") == 3 and f"{PAGE}/{first}/dismiss" in text
    status, _, text = own.submit(PAGE, f"{PAGE}/{first}/dismiss", client="rita", reason=" ")
    assert status == 422 and "say why the mask is in order" in text and len(listed(own)) == 3
    status, address, _ = own.submit(PAGE, f"{PAGE}/{first}/dismiss", client="rita", reason="a very <large> liver")
    assert (status, address) == (303, f"{PAGE}?note=dismissed")
    text = own.get(address)
    assert f"{first}/dismiss" not in text and "1 dismissed" in words(text) and "all (2)" in words(text)
    text = own.get(f"{PAGE}?dismissed=true")
    assert "rita dismissed it on" in text and "a very &lt;large&gt; liver" in text and f"{second}/dismiss" not in text
    assert (listed(own), listed(own, "dismissed=true")) == ([second, third], [first])

    reply = own.http.post(f"/api/v1/suspicious/{first}/dismiss", json={"client": "rita", "reason": "again"})
    assert reply.status_code == 409 and "rita already" in reply.json()["detail"]
    reply = own.http.post(f"/api/v1/suspicious/{second}/dismiss", json={"client": "rita", "reason": "nephrectomy"})
    assert reply.json()["dismissed"]["by"] == "rita" and reply.json()["dismissed"]["reason"] == "nephrectomy"
    assert own.http.post("/api/v1/suspicious/an-0/dismiss", json={"client": "rita", "reason": "x"}).status_code == 404
    assert own.http.post(f"/api/v1/suspicious/{third}/dismiss", json={"client": "rita"}).status_code == 422
    with own.workspace.catalog.read() as session:
        author = session.get_one(Annotation, third).author
    reply = own.http.post(f"/api/v1/suspicious/{third}/dismiss", json={"client": author, "reason": "mine"})
    assert reply.status_code == 403 and "your own annotation" in reply.json()["detail"]

    find_again(own, first)
    assert listed(own) == [third], "the same reasons with other figures"
    find_again(own, first, [Reason(SuspicionKind.MODEL, "liver", "r3 agrees with DSC 0.41", 0.8)])
    assert listed(own) == [first, third]
    assert own.submit(f"{PAGE}?dismissed=true", f"{PAGE}/{second}/restore", client="rita")[:2] == (
        303,
        f"{PAGE}?note=listed",
    )
    assert own.http.post(f"/api/v1/suspicious/{second}/restore", json={"client": "rita"}).status_code == 409
    with own.workspace.catalog.read() as session:
        assert session.query(Dismissal).count() == 0
        actions = [row.action for row in audit.page(session, 10, actions=["suspicion.dismiss", "suspicion.restore", "suspicion.again"])]  # fmt: skip
        assert actions == ["suspicion.restore", "suspicion.again", "suspicion.dismiss", "suspicion.dismiss"]


def test_a_mask_is_dismissed_in_a_terminal(own: Browser) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*words, "--workspace", str(own.workspace.root)])
        return result.exit_code, result.stdout

    mask = listed(own)[-1]
    code, text = run("dismiss", mask, "--reason", "it is so", "--reader", "rita", "--json")
    assert code == 0 and json.loads(text)["dismissed"]["reason"] == "it is so" and mask not in listed(own)
    assert mask not in run("suspicious")[1] and f"{mask} was dismissed by rita: it is so" in run("suspicious", "--dismissed")[1]  # fmt: skip
    assert run("dismiss", mask)[0] == 2 and run("dismiss", mask, "--undo", "--reason", "x")[0] == 2
    assert run("dismiss", mask, "--undo")[0] == 0 and mask in listed(own)


@pytest.mark.parametrize("name", ["ada", "rita", "root"])
def test_reviewers_dismiss_and_radiologists_do_not(signed_in: dict[str, Browser], name: str) -> None:
    reply = signed_in[name].http.post("/api/v1/suspicious/an-0/dismiss", json={"reason": "x"}, headers={"Origin": URL})
    assert reply.status_code == (403 if name == "ada" else 404)
