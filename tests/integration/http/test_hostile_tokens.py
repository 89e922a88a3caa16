"""Tokens, keys, tickets and cookies that are forged, ended or another account's."""

from __future__ import annotations

from tests.support.hostile import JSON, request, upload
from tests.support.hostile_scene import Scene, check_no_trace, check_refused


def credentials_of_others(s: Scene) -> dict[str, bytes]:
    info = "/info/"
    found: dict[str, bytes] = {
        f"token: {what}": request("GET", info, f"Authorization: Bearer {token}") for what, token in s.bad_tokens.items()
    }
    other = f"Authorization: Bearer {s.bad_tokens['cut']}"
    own = s.by()

    def submission(image: str) -> bytes:
        target = f"/datastore/label?image={image}"
        return upload("PUT", target, own, name="a.nii.gz", content=s.label, field="label", params={})

    found |= {
        "no header": request("GET", info),
        "two headers": request("GET", info, own, other),
        "two headers, the other way round": request("GET", info, other, own),
        "the same header twice": request("GET", info, own, own),
        "two tokens in one header": request("GET", info, f"{own}, Bearer x"),
        "Basic": request("GET", info, "Authorization: Basic cm9vdDpmb3VyIHdvcmRzIG9mIGEgc2VjcmV0"),
        "token in the query": request("GET", f"{info}?access_token={s.tokens['root']}&token={s.tokens['root']}"),
        "token in a cookie of another name": request("GET", info, f"Cookie: token={s.tokens['mallory']}"),
        "spoiled cookie": request("GET", info, f"Cookie: mrseg_session={s.bad_tokens['foreign secret']}"),
        "another site's form with the cookie": request(
            "POST", "/activelearning/random", f"Cookie: mrseg_session={s.tokens['mallory']}",
            "Origin: https://evil.example", JSON, body=b"{}",
        ),
        "a form without an origin, with the cookie": request(
            "POST", "/activelearning/random", f"Cookie: mrseg_session={s.tokens['mallory']}", "Origin: null",
            "Sec-Fetch-Site: cross-site", JSON, body=b"{}",
        ),
        "another's ticket: image": request("GET", f"/datastore/image?image={s.ticket}", own),
        "another's ticket: info": request("GET", f"/datastore/image/info?image={s.ticket}", own),
        "another's ticket: label": request("GET", f"/datastore/label?label={s.ticket}&tag=final", own),
        "another's ticket: infer": request("POST", f"/infer/mrseg?image={s.ticket}", own),
        "another's ticket: submission": submission(s.ticket),
        "another's ticket by the reviewer": request("GET", f"/datastore/image?image={s.ticket}", s.by("rita")),
        "ticket for a label without sign-in": request("GET", f"/datastore/label?label={s.ticket}&tag=final"),
        "ticket for infer without sign-in": request("POST", f"/infer/mrseg?image={s.ticket}"),
        "ticket and another image": request("GET", f"/datastore/image?image={s.ticket}&image={s.examination}"),
        "ticket and a label": request("GET", f"/datastore/image?image={s.examination}&ticket={s.ticket}"),
        "ticket in other letters": request("GET", f"/datastore/image?image={s.ticket.swapcase()}"),
        "another's case by its id: image": request("GET", f"/datastore/image?image={s.examination}", own),
        "another's case by its id: label": request("GET", f"/datastore/label?label={s.examination}", own),
        "another's case by its id: infer": request("POST", f"/infer/mrseg?image={s.examination}", own),
        "another's case by its id: submission": submission(s.examination),
        "another's case returned to the queue": request(
            "POST", f"/api/v1/examinations/{s.examination}/return", own, JSON, body=b"{}"
        ),
        "another's case released": request(
            "POST", f"/api/v1/examinations/{s.examination}/release", own, JSON, body=b"{}"
        ),
        "another's case unusable": request(
            "POST", f"/api/v1/examinations/{s.examination}/unusable", own, JSON, body=b'{"reason": "x"}'
        ),
        "another's case in another's name": request(
            "POST", f"/api/v1/examinations/{s.examination}/release", own, JSON, body=b'{"client": "alice"}'
        ),
        "another's annotation": request("GET", f"/api/v1/annotations/{s.annotation}", own),
        "another's mask": request("GET", f"/api/v1/annotations/{s.annotation}/mask", own),
        "another's annotation withdrawn": request(
            "POST", f"/api/v1/annotations/{s.annotation}/withdraw", own, JSON, body=b"{}"
        ),
        "a decision by a radiologist": request(
            "POST", f"/api/v1/annotations/{s.annotation}/accept", own, JSON, body=b"{}"
        ),
        "another's session": request("GET", f"/session/{s.session}?image=true", own),
        "another's session ended": request("DELETE", f"/session/{s.session}", own),
        "another's session for infer": request("POST", f"/infer/mrseg?session_id={s.session}", own),
        "another's session by an admin": request("GET", f"/session/{s.session}", s.by("root")),
        "another's app password": request("DELETE", f"/auth/app-passwords/{s.app_password}", own),
        "an admin's route": request("GET", "/api/v1/audit", own),
        "a program asks for a case": request("POST", "/activelearning/random", s.by("robot"), JSON, body=b"{}"),
        "a round by a reviewer": request("POST", "/api/v1/rounds", s.by("rita"), JSON, body=b"{}"),
        "roll-back by a program": request("POST", "/api/v1/models/rollback", s.by("robot"), JSON, body=b"{}"),
        "pairs to train on": request("GET", "/datastore/?output=train", own),
    }  # fmt: skip
    return found


def test_credentials_of_others_are_refused(scene: Scene) -> None:
    check_refused(scene, credentials_of_others(scene), 60)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
