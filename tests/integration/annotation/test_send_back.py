"""An administrator sends an annotation back that counted already: its author or another reader corrects it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.accounts import service as accounts
from mrseg_label.annotation import review
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, Role
from mrseg_label.cli import app
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.reports.mine import read_mine
from mrseg_label.reports.reviewing import read_sent_back
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case
from tests.support.annotation_house import House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\n{database_settings}')


def annotate(house: House, reader: str = "ada") -> str:
    house.take(reader)
    return house.send(draft_array(), *house.workspace.scheme.names[:5], client=reader).annotation_id


def send_back(house: House, annotation: str, reader: str | None = None, comment: str = "look at the liver") -> None:
    review.send_back(house.workspace, annotation, actor="root", comment=comment, reader=reader)


def test_the_author_gets_it_first_with_the_comment(house: House) -> None:
    sent = annotate(house)
    send_back(house, sent)
    with house.catalog.read() as session:
        assert rows.final(session, house.acquisition) is None
        assert session.get_one(Annotation, sent).state is AnnotationState.REJECTED
        assert session.get_one(Acquisition, house.acquisition).annotated_at is None
        (event,) = audit.page(session, 10, actions=["sent back"])
        assert (event.actor, event.subject, event.detail) == ("root", sent, {"reader": "ada"})
    assert [one.comment for one in read_mine(house.workspace, Reader("ada"), 5).sent_back] == ["look at the liver"]
    with pytest.raises(Conflict):  # it is reserved for its author
        assign_next_case(house.workspace, Reader("bob"), "balanced")
    found = assign_next_case(house.workspace, Reader("ada"), "balanced")
    assert found is not None and (found.annotation_id, found.comment) == (sent, "look at the liver")


def test_another_reader_gets_it_and_corrects_it(house: House) -> None:
    sent = annotate(house)
    send_back(house, sent, "bob")
    assert read_mine(house.workspace, Reader("ada"), 5).sent_back == []
    assert [one.annotation for one in read_mine(house.workspace, Reader("bob"), 5).sent_back] == [sent]
    assert [one.comment for one in read_sent_back(house.catalog, "bob", 5)] == ["look at the liver"]
    assert read_sent_back(house.catalog, "ada", 5) == []
    with pytest.raises(Conflict):
        assign_next_case(house.workspace, Reader("ada"), "balanced")
    found = assign_next_case(house.workspace, Reader("bob"), "balanced")
    assert found is not None and (found.annotation_id, found.comment) == (sent, "look at the liver")
    corrected = draft_array()
    corrected[3] = 5
    again = house.send(corrected, *house.workspace.scheme.names[:5], client="bob")
    assert again.is_final and again.state is AnnotationState.ACCEPTED
    assert read_sent_back(house.catalog, None, 5) == [], "the new one takes its place"


def test_what_cannot_be_sent_back(house: House) -> None:
    sent = annotate(house)
    for comment, reader in ((" ", None), ("look", " "), ("look", "a\nb"), ("look", "x" * 300)):
        with pytest.raises(InvalidInput):
            send_back(house, sent, reader, comment)
    with pytest.raises(NotFound):
        send_back(house, "an-none")
    request_case(house.workspace, Reader("bob"), Purpose.SECOND_READ, house.acquisition)
    second = house.send(draft_array(), *house.workspace.scheme.names[:5], client="bob").annotation_id
    with pytest.raises(Conflict, match="own author alone"):
        send_back(house, second, "eve")
    send_back(house, second)
    with pytest.raises(Conflict, match="already been rejected"):
        send_back(house, second)
    with house.catalog.begin() as session:
        session.get_one(Annotation, sent).author = IMPORT_AUTHOR
    with pytest.raises(Conflict, match="came with an import"):
        send_back(house, sent)
    send_back(house, sent, "bob")


def test_with_sign_in_the_reader_needs_an_account(tmp_path: Path) -> None:
    for house in make_house(tmp_path, 'AUTH = "on"\n'):
        for name, role in (("ada", Role.RADIOLOGIST), ("bob", Role.RADIOLOGIST), ("program", Role.SERVICE)):
            password = None if role is Role.SERVICE else "a long password 1"
            accounts.add(house.catalog, name, role, password=password, actor="root")
        house.take("Slicer", "ada")
        sent = house.send(draft_array(), *house.workspace.scheme.names[:5], client="Slicer", user="ada").annotation_id
        accounts.disable(house.catalog, "bob", actor="root")
        for nobody in ("bob", "program", "eve"):
            with pytest.raises(Conflict, match="nobody would get the case"):
                send_back(house, sent, nobody)
        send_back(house, sent)


def test_over_the_command_line(house: House) -> None:
    sent = annotate(house)
    arguments = ["annotations", "send-back", sent, "--workspace", str(house.workspace.root), "--json"]
    assert CliRunner().invoke(app, arguments).exit_code == 2, "it needs a comment"
    done = CliRunner().invoke(app, [*arguments, "--comment", "look", "--to", "bob", "--reader", "root"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["state"] == "rejected"
    assert read_sent_back(house.catalog, "bob", 5)[0].reviewer == "root"
