"""Acting on many cases from the list of examinations, and a reader's own page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from mrseg_label.annotation import review
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Examination
from mrseg_label.catalog.types import AnnotationState, Priority
from mrseg_label.clock import now
from mrseg_label.ids import new_ticket
from mrseg_label.reports.examinations import SORTS
from tests.integration.web.conftest import URL, Browser
from tests.integration.web.test_dashboard import words
from tests.integration.web.test_examinations import ROW, a_case

LIST, ACT = "/dashboard/examinations", "/dashboard/examinations/act"


def address_of(text: str, relation: str) -> str | None:
    found = re.search(rf'<a href="([^"]+)" rel="{relation}">', text)
    return found[1].replace("&amp;", "&") if found else None


def test_pages_turn_back_as_they_turned_forward(pages: Browser) -> None:
    for sort in SORTS:
        read: list[list[str]] = []
        address: str | None = f"{LIST}?sort={sort}"
        text = ""
        while address is not None:
            text = pages.get(address)
            read.append(ROW.findall(text))
            address = address_of(text, "next")
        for expected in read[-2::-1]:
            before = address_of(text, "prev")
            assert before is not None
            text = pages.get(before)
            assert ROW.findall(text) == expected
        assert address_of(text, "prev") is None, sort
    assert pages.http.get(f"{LIST}?sort=participant").status_code == 422
    assert pages.http.get(f"{LIST}?sort=station&cursor=x").status_code == 422
    assert 'aria-sort="ascending"' in pages.get(f"{LIST}?sort=station")


def act(browser: Browser, **fields: object) -> tuple[int, str]:
    token = re.findall(r'name="form_token" value="(\w+)"', browser.get(LIST))[0]
    reply = browser.http.post(ACT, data={"form_token": token, **fields}, headers={"Origin": URL})
    return reply.status_code, reply.text


def test_ticked_and_found_cases_are_changed(own: Browser) -> None:
    first, case = a_case(own, "W004")
    second, other = a_case(own, "W003")

    def row(identifier: str) -> Acquisition:
        with own.workspace.catalog.read() as session:
            return session.get_one(Acquisition, identifier)

    assert act(own, action="priority", new_priority="high")[0] == 422, "nothing is ticked"
    status, text = act(own, action="priority", new_priority="high", examination=[first, second])
    assert status == 200 and "2 cases were changed." in words(text)
    assert {row(case).priority, row(other).priority} == {Priority.HIGH}
    assert len(ROW.findall(own.get(f"{LIST}?priority=high"))) == 8, "four images each"
    assert act(own, action="exclude", examination=[first], reason=" ")[0] == 422 and row(case).excluded_at is None
    status, text = act(own, action="exclude", on_page=f"{first} {second}", scope="page", reason="<motion>")
    assert "2 cases were changed." in words(text) and row(case).excluded_reason == "<motion>"
    listed = own.get(f"{LIST}?state=excluded")
    total = int(re.findall(r'name="total" value="(\d+)"', listed)[0])
    status, text = act(own, action="include", scope="found", state="excluded", total=total + 1)
    assert status == 409 and "nothing was changed" in words(text) and row(case).excluded_at
    status, text = act(own, action="include", scope="found", state="excluded", total=total)
    assert status == 200 and not row(case).excluded_at and not row(other).excluded_at
    assert act(own, action="assign", examination=[first], assign_to="")[0] == 422
    status, text = act(own, action="assign", examination=[first, second], assign_to="ada", days=2)
    assert "1 case was changed." in words(text) or "2 cases were changed." in words(text)
    with own.workspace.catalog.read() as session:
        found = session.query(Assignment).filter_by(acquisition_id=case, client="ada", requested=True).one()
        assert found.assigned_by == "anonymous" and found.expires_at > now() + timedelta(days=1, hours=23)
    assert "Left as they were" in act(own, action="assign", examination=[first], assign_to="bob")[1]
    assert act(own, action="return", examination=[first])[0] == 200
    assert act(own, action="assign", examination=["ex-0"], assign_to="ada")[0] == 404
    for wrong in ({"days": 0, "assign_to": "ada"}, {"days": "x"}, {"scope": "all"}):
        assert act(own, action="assign", examination=[first], **wrong)[0] == 422
    assert act(own, action="delete", examination=[first])[0] == 422


def test_only_administrators_act_on_many_cases(signed_in: dict[str, Browser]) -> None:
    for name in ("ada", "rita"):
        assert ACT not in signed_in[name].get(LIST)
        reply = signed_in[name].http.post(ACT, data={"action": "return"}, headers={"Origin": URL})
        assert reply.status_code == 403 and "which is not permitted here" in reply.text
    text = signed_in["root"].get(LIST)
    assert ACT in text and "<option>ada</option>" in text
    reply = signed_in["root"].http.post(ACT, data={"action": "return", "form_token": "0" * 64}, headers={"Origin": URL})
    assert reply.status_code == 403 and "earlier sign-in" in reply.text


def test_a_reader_sees_open_cases_what_came_back_and_what_is_finished(own: Browser) -> None:
    assert "Your name in 3D Slicer" in own.get("/dashboard/mine")
    address = "/dashboard/mine?client=ada"
    examination, acquisition = a_case(own, "W004")
    with own.workspace.catalog.begin() as session:
        session.add(Assignment(ticket=new_ticket(), acquisition_id=acquisition, client="ada", expires_at=now() + timedelta(hours=5)))  # fmt: skip
        sent = session.query(Annotation).filter_by(state=AnnotationState.SUBMITTED).first()
        assert sent is not None
    review.reject(own.workspace.catalog, sent.id, reviewer="rita", comment="the spleen is cut <off>")
    text = own.get(address)
    assert "W004" in text and "open in 3D Slicer" in text and "the spleen is cut &lt;off&gt;" in text
    assert "rita rejected it" in words(text) and "Finished" in text and "Came back to you" in text
    document = own.http.get("/api/v1/mine?client=ada").json()
    (here,) = [one for one in document["open"] if one["participant"] == "W004"]
    assert here["opened"] and document["sent_back"][0]["comment"] == "the spleen is cut <off>"
    assert own.http.get("/api/v1/mine").status_code == 422
    assert "W004" not in own.get("/dashboard/mine?client=somebody")
    base = f"/dashboard/mine/{examination}"
    assert own.submit(address, f"{base}/unusable", client="ada", reason=" ")[0] == 422
    assert own.submit(address, f"{base}/open", client="ada")[:2] == (303, "/dashboard/mine?note=next&client=ada")
    assert "comes with your next sample" in own.get(address)
    status, _, text = own.submit(address, f"{base}/return", client="bob")
    assert status == 409 and "not assigned to bob" in words(text)
    assert own.submit(address, f"{base}/return", client="ada")[0] == 303
    assert "open in 3D Slicer" not in own.get(address)
    with own.workspace.catalog.read() as session:
        assert session.query(Examination).filter_by(id=examination).count() == 1


@pytest.mark.parametrize("name", ["ada", "rita", "root"])
def test_everybody_has_a_page_of_their_own(signed_in: dict[str, Browser], name: str) -> None:
    text = signed_in[name].get("/dashboard/mine?client=somebody")
    assert f"What {name} has open" in words(text), "a name in the address means nothing with sign-in"
    document = signed_in[name].http.get("/api/v1/mine?client=somebody&limit=1").json()
    assert document["reader"] == name and len(document["finished"]["items"]) <= 1
    pages = re.findall(r'<li><a href="(/dashboard[^"]*)"', text)
    assert pages[0] == ("/dashboard/mine" if name == "ada" else "/dashboard"), "a radiologist sees the own work first"
