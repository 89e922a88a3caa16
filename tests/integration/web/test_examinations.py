"""Pages of examinations and of reviews: filters, cursors, the search by participant, excluding, accepting, rejecting."""

from __future__ import annotations

import re

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant
from mrseg_label.catalog.types import AnnotationState
from tests.integration.web.conftest import URL, Browser
from tests.integration.web.test_dashboard import words

ROW = re.compile(r'<th scope="row" class="keep"><a href="(/dashboard/examinations/ex-\w+)">')


def a_case(browser: Browser, code: str) -> tuple[str, str]:
    """Primary examination and acquisition of a participant's first case."""
    with browser.workspace.catalog.read() as session:
        row = (
            session.query(Acquisition)
            .join(Participant)
            .filter(Participant.code == code)
            .order_by(Acquisition.id)
            .first()
        )
        assert row is not None and row.primary_examination_id is not None
        return row.primary_examination_id, row.id


def test_the_list_is_read_page_by_page_and_filtered(pages: Browser) -> None:
    with pages.workspace.catalog.read() as session:
        total = session.query(Examination).count()
        thorax = session.query(Examination).join(Acquisition).filter(Acquisition.station == "thorax").count()
    for query, expected in (("", total), ("?station=thorax", thorax)):
        found: list[str] = []
        address: str | None = f"/dashboard/examinations{query}"
        while address is not None:
            text = pages.get(address)
            found += ROW.findall(text)
            following = re.search(r'<a href="([^"]+)" rel="next">', text)
            address = following[1].replace("&amp;", "&") if following else None
        assert len(found) == len(set(found)) == expected
    text = pages.get("/dashboard/examinations?station=pelvis&sequence=water&state=assigned")
    assert len(ROW.findall(text)) == 1 and "W001 pelvis water assigned" in words(text)
    assert "No examination fits." in pages.get("/dashboard/examinations?sequence=none")
    assert pages.http.get("/dashboard/examinations?cursor=x").status_code == 422
    assert pages.http.get("/dashboard/examinations?state=x").status_code == 422


def test_a_participant_is_found_by_a_form_and_stands_in_no_address(pages: Browser) -> None:
    status, _, text = pages.submit("/dashboard/examinations", "/dashboard/examinations/search", participant=" P003 ")
    assert (
        status == 200 and len(ROW.findall(text)) == 12 and set(re.findall(r"<td>([HPWR]\d{3})</td>", text)) == {"P003"}
    )
    assert not re.search(r'(href|action|src)="[^"]*P003', text)
    for unknown in ("P999", "P00\0", "' OR 1=1", "<b>"):
        status, _, text = pages.submit("/dashboard/examinations", "/dashboard/examinations/search", participant=unknown)
        assert status == 200 and not ROW.findall(text) and "<b>" not in text
    assert pages.http.get("/dashboard/examinations/search").status_code == 404


def test_an_examination_shows_its_draft_and_its_annotations(pages: Browser) -> None:
    examination, _ = a_case(pages, "P003")
    text = words(pages.get(f"/dashboard/examinations/{examination}"))
    assert "4 × 5 × 6 voxels" in text and "2.00 × 2.00 × 3.00 mm" in text and "RAS" in text
    assert "model version bootstrap source inverted" in text
    assert (
        "Annotation 1 by" in text and "ml) changed, DSC with the draft 0." in text and "left kidney corrected" in text
    )
    assert "None has been made yet." in words(pages.get(f"/dashboard/examinations/{a_case(pages, 'W004')[0]}"))
    assert pages.http.get("/dashboard/examinations/ex-0").status_code == 404


def test_a_radiologist_sees_only_own_annotations_and_no_source(signed_in: dict[str, Browser]) -> None:
    root, ada = signed_in["root"], signed_in["ada"]
    with root.workspace.catalog.begin() as session:
        row = (
            session.query(Annotation)
            .filter(Annotation.author != "ada", Annotation.state == AnnotationState.ACCEPTED)
            .first()
        )
        assert row is not None
        address, author = f"/dashboard/examinations/{row.examination_id}", row.author
    assert f"by {author}" in words(root.get(address)) and "imported from" in root.get(address)
    assert f"by {author}" not in words(ada.get(address)) and "imported from" not in ada.get(address)
    assert "Exclude" in root.get(address) and "Exclude" not in ada.get(address)
    for action in (
        f"{address}/exclude",
        f"{address}/include",
        "/dashboard/quality/an-1/accept",
        "/dashboard/quality/an-1/reject",
    ):
        assert "which is not permitted here" in ada.http.post(action, headers={"Origin": URL}).text
    assert ada.http.get("/dashboard/quality").status_code == 403 and "Quality" not in ada.get("/dashboard")
    assert signed_in["rita"].http.get("/dashboard/quality").status_code == 200


def test_a_case_is_excluded_with_a_reason_and_included_again(own: Browser) -> None:
    examination, acquisition = a_case(own, "W004")
    address = f"/dashboard/examinations/{examination}"

    def reason() -> str | None:
        with own.workspace.catalog.read() as session:
            return session.get_one(Acquisition, acquisition).excluded_reason

    assert own.submit(address, f"{address}/exclude", reason=" ")[0] == 422 and reason() is None
    assert own.submit(address, f"{address}/exclude", reason="moved")[:2] == (303, f"{address}?note=excluded")
    assert reason() == "moved" and "Excluded: moved" in own.get(address)
    assert own.submit(address, f"{address}/include")[:2] == (303, f"{address}?note=included") and reason() is None
    code = own.http.post("/dashboard/examinations/W004/exclude", data={"form_token": token(own), "reason": "x"}, headers={"Origin": URL})  # fmt: skip
    assert code.status_code == 404, "the code of a participant is no address"


def test_what_is_propagated_is_shown_and_decided(own: Browser, signed_in: dict[str, Browser]) -> None:
    examination, acquisition = a_case(own, "P003")
    address = f"/dashboard/examinations/{examination}"
    with own.workspace.catalog.begin() as session:
        (water,) = [one for one in session.get_one(Acquisition, acquisition).examinations if one.sequence == "water"]
        water.misregistration, water.labelled = Misregistration.SUSPECTED, None
        other = f"/dashboard/examinations/{water.id}"

    def masks() -> list[str]:
        return re.findall(r'<span class="badge[^"]*">(mask [a-z ]+|without mask)</span>', own.get(address))

    assert sorted(masks()) == ["mask drawn on it", "mask propagated", "mask propagated", "without mask"]
    assert "It may lie elsewhere than the others" in own.get(address)
    assert own.submit(address, f"{other}/decide", misregistration="none")[0] == 303
    assert masks().count("mask propagated") == 3 and "It lies in place" not in words(own.get(address))
    decided = f"{address}?note=decided#channels"
    assert own.submit(address, f"{address}/decide", propagation="off")[:2] == (303, decided)
    assert sorted(masks()) == ["mask drawn on it", *["without mask"] * 3]
    assert "Masks are not propagated here" in own.get(other) and "'propagation': ['on', 'off']" in words(
        own.get(address)
    )
    assert own.submit(address, f"{address}/decide", propagation="on")[:2] == (303, decided)
    assert masks().count("mask propagated") == 3
    assert own.submit(address, f"{address}/decide", swap="none")[0] == 422  # the in-phase image shows both
    seen = signed_in["ada"].get(f"/dashboard/examinations/{a_case(signed_in['ada'], 'P003')[0]}")
    assert "mask propagated" in seen and "/decide" not in seen


def token(browser: Browser) -> str:
    found: list[str] = re.findall(r'name="form_token" value="(\w+)"', browser.get("/dashboard/examinations"))
    return found[0]


def test_annotations_are_reviewed(own: Browser, signed_in: dict[str, Browser]) -> None:
    def state(browser: Browser, annotation: str) -> AnnotationState:
        with browser.workspace.catalog.read() as session:
            return session.get_one(Annotation, annotation).state

    rita = signed_in["rita"]
    first, second = re.findall(r'action="/dashboard/quality/(an-\w+)/accept"', rita.get("/dashboard/quality"))
    assert rita.submit("/dashboard/quality", f"/dashboard/quality/{first}/open")[:2] == (
        303,
        "/dashboard/quality?note=reserved",
    )
    assert "press Next Sample" in rita.get("/dashboard/quality?note=reserved")
    assert rita.submit("/dashboard/quality", f"/dashboard/quality/{first}/accept")[:2] == (
        303,
        "/dashboard/quality?note=accepted",
    )
    refused = rita.submit("/dashboard/quality", f"/dashboard/quality/{second}/reject", comment=" ")
    assert refused[0] == 422 and state(rita, second) is AnnotationState.SUBMITTED
    assert rita.submit("/dashboard/quality", f"/dashboard/quality/{second}/reject", comment="the spleen <1>")[0] == 303
    assert (state(rita, first), state(rita, second)) == (AnnotationState.ACCEPTED, AnnotationState.REJECTED)
    assert "Nothing awaits review." in rita.get("/dashboard/quality")
    with rita.workspace.catalog.read() as session:
        address = f"/dashboard/examinations/{session.get_one(Annotation, second).examination_id}"
    assert "the spleen &lt;1&gt;" in signed_in["ada"].get(address), "its author reads the comment"

    one, _ = re.findall(r'action="/dashboard/quality/(an-\w+)/accept"', own.get("/dashboard/quality"))
    nameless = own.submit("/dashboard/quality", f"/dashboard/quality/{one}/accept")
    assert nameless[0] == 422 and "client" in nameless[2]
    assert own.submit("/dashboard/quality", f"/dashboard/quality/{one}/accept", client="ada")[0] == 403, "her own"
    assert own.submit("/dashboard/quality", f"/dashboard/quality/{one}/accept", client="rita")[0] == 303
    assert state(own, one) is AnnotationState.ACCEPTED


def test_the_quality_page_shows_suspicious_masks_and_agreement(pages: Browser) -> None:
    text = words(pages.get("/dashboard/quality"))
    assert (
        "6 pairs of independent readings agree" in text and "In 6 of them both readers corrected the same draft" in text
    )
    assert "left kidney : marked absent; 30 of 31" in text and "accepted unchanged after 14 s" in text
    only = words(pages.get("/dashboard/quality?kind=volume"))
    assert "2.4 times the median" in only and "after 14 s" not in only
    ranked = pages.http.get("/api/v1/suspicious").json()["items"]
    assert [one["score"] for one in ranked] == sorted((one["score"] for one in ranked), reverse=True)
    first = pages.http.get("/api/v1/suspicious?limit=1").json()
    assert first["items"] == ranked[:1] and ranked[0]["reasons"][0]["kind"] == "volume"
    rest = pages.http.get(f"/api/v1/suspicious?cursor={first['next']}").json()
    assert rest == {"items": ranked[1:], "next": None}
    assert pages.http.get("/api/v1/suspicious?cursor=WzJd").status_code == 422
    assert "Nothing with this reason." in words(pages.get("/dashboard/quality?kind=model"))
    assert pages.http.get("/dashboard/quality?kind=ugly").status_code == 422
    found = pages.http.get("/api/v1/agreement").json()
    assert found["overall"]["cases"] == 6 == sum(pair["cases"] for pair in found["readers"])
    assert (
        pages.http.get("/api/v1/suspicious?kind=empty").json()["items"][0]["reasons"][0]["structure"] == "left_kidney"
    )


def test_radiologists_see_their_own_agreement_alone(signed_in: dict[str, Browser]) -> None:
    own = signed_in["ada"].http.get("/api/v1/agreement/mine").json()
    assert own["reader"] == "ada" and 0 < own["cases"] < 6 and "bert" not in str(own)
    assert signed_in["ada"].http.get("/api/v1/agreement").status_code == 403
    assert signed_in["ada"].http.get("/api/v1/suspicious").status_code == 403
