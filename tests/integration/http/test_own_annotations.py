"""Radiologists see and change only their own annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mrseg_label.catalog.types import Role
from tests.integration.conftest import Guarded
from tests.support.signed_in import bearer, submit, take


def test_a_radiologist_sees_their_own_submissions_alone(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    mine, other = guarded.sign_in(name := person()), guarded.sign_in(person())
    sample = take(guarded, mine)
    assert submit(guarded, mine, sample["id"], tmp_path)[0] == 200
    (found,) = guarded.http.get("/api/v1/annotations", headers=bearer(mine)).json()["items"]
    assert found["author"] == name
    examination = sample["name"].removesuffix(".nii.gz")
    for path in (f"/api/v1/annotations/{found['id']}", f"/api/v1/annotations/{found['id']}/mask"):
        assert guarded.http.get(path, headers=bearer(mine)).status_code == 200
        assert guarded.http.get(path, headers=bearer(other)).status_code == 403
        assert guarded.http.get(path, headers=guarded.as_(Role.REVIEWER)).status_code == 200
    asked = guarded.http.get("/api/v1/annotations", params={"author": name}, headers=bearer(other)).json()
    assert asked["items"] == []
    listed = guarded.http.get(f"/api/v1/examinations/{examination}/annotations", headers=bearer(other)).json()
    assert listed["items"] == []
    for action in ("withdraw", "accept", "reject", "restore"):
        path = f"/api/v1/annotations/{found['id']}/{action}"
        assert guarded.http.post(path, headers=bearer(other), json={"comment": "x"}).status_code == 403
    path = f"/api/v1/examinations/{examination}/unusable"
    assert guarded.http.post(path, headers=bearer(other), json={"reason": "mine"}).status_code == 403
    seen = guarded.http.get(f"/api/v1/examinations/{examination}", headers=bearer(mine)).json()
    assert seen["source"] is None
    assert guarded.http.get(f"/api/v1/examinations/{examination}", headers=guarded.as_(Role.ADMIN)).json()["source"]
    review = {"purpose": "review"}
    assert guarded.http.post("/api/v1/examinations/hand-out", headers=bearer(other), json=review).status_code == 403
