"""What a reader requests about a case shows that they work on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mrseg_label.catalog.tables import WorkSign
from mrseg_label.catalog.types import Sign
from mrseg_label.worklist import signs
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.support.annotation_house import House, make_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "off"\nWORKERS = 0\n')


def test_requests_about_a_case_are_signs_of_work(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(build(ProtocolApp(house.workspace)), "http://127.0.0.1", client=("127.0.0.1", 50000))
    ada = {"client_id": "ada"}

    def seen() -> list[Sign]:
        with house.catalog.read() as session:
            rows = session.query(WorkSign).order_by(WorkSign.id).all()
        assert all((row.reader, row.acquisition_id) == ("ada", house.acquisition) for row in rows)
        return [row.sign for row in rows]

    found = client.post("/activelearning/balanced", json=ada)
    assert found.status_code == 200, found.text
    address = {"image": found.json()["id"], **ada}
    for _ in range(2):
        assert client.get("/datastore/image", params=address).status_code == 200
    assert seen() == [Sign.OPENED], "within half a minute they are one"
    monkeypatch.setattr(signs, "APART", timedelta(0))
    assert client.head("/datastore/image", params=address).status_code == 200  # it is in Slicer's cache
    drafted = client.post("/infer/mrseg", params={"image": address["image"]}, data={"params": '{"client_id": "ada"}'})
    assert drafted.status_code == 200, drafted.text
    assert seen() == [Sign.OPENED, Sign.IMAGE, Sign.MASK]
    assert client.get("/datastore/image", params={"image": "ex-none", **ada}).status_code == 404
    assert client.get("/info/").status_code == 200
    assert len(seen()) == 3, "neither what fails nor what is about no case"
