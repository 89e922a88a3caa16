"""The lists of examinations, assignments and participants, and following a round."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import rounds
from mrseg_label.catalog.tables import Assignment, ModelVersion, Round
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, ModelStatus, Role, RoundState
from mrseg_label.clock import now
from mrseg_label.jobs import queue
from mrseg_label.reports import rounds as reports
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant, add_round
from tests.unit.cli.test_commands import Run, document, opened, run

__all__ = ["opened", "run"]


@pytest.fixture
def filled(opened: OpenedWorkspace) -> OpenedWorkspace:
    """Four participants with two stations each: one annotated, one assigned, one excluded, and an assignment that expired."""
    moment = now()
    with opened.catalog.begin() as session:
        people = [add_participant(session, f"p{number}", held_out=number == 3) for number in range(4)]
        cases = [add_acquisition(session, person, station=name) for person in people for name in ("abdomen", "pelvis")]
        people[0].sex, people[0].age = "female", 61.5
        add_annotation(session, cases[0])
        cases[2].excluded_at, cases[2].excluded_reason = moment, "metal"
        people[3].excluded_at, people[3].excluded_reason = moment, "consent"
        for case, reader, hours, ended in (
            (cases[4], "ada", 5, None),
            (cases[5], "ben", -5, None),
            (cases[1], "ada", 5, moment),
        ):
            session.add(
                Assignment(
                    ticket=f"t-{case.id}",
                    acquisition_id=case.id,
                    client=reader,
                    account=reader,
                    created_at=moment - timedelta(hours=6),
                    expires_at=moment + timedelta(hours=hours),
                    ended_at=ended,
                    outcome=AssignmentOutcome.RETURNED if ended else None,
                )
            )
    return opened


def test_examinations_are_listed_by_participant_and_state(run: Run, filled: OpenedWorkspace) -> None:
    def found(*options: object) -> list[tuple[str, str, str]]:
        listed = document(run("examinations", "list", "--workspace", filled.root, "--json", *options))
        assert listed["next"] is None
        return sorted((i["participant"], i["station"], i["state"]) for i in listed["items"] if i["primary"])

    assert len(found()) == 8
    assert found("--participant", "p0") == [("p0", "abdomen", "annotated"), ("p0", "pelvis", "waiting")]
    assert found("--state", "annotated") == [("p0", "abdomen", "annotated")]
    assert found("--state", "assigned") == [("p2", "abdomen", "assigned")]
    assert found("--state", "excluded") == [("p1", "abdomen", "excluded")]
    assert ("p2", "pelvis", "waiting") in found("--state", "waiting", "--station", "pelvis")
    assert found("--sequence", "in", "--participant", "nobody") == []
    code, _, err = run("examinations", "list", "--state", "lost", "--workspace", filled.root)
    assert code == 2 and "awaiting_review" in err


def test_a_table_that_is_cut_says_how_much_is_left(run: Run, filled: OpenedWorkspace) -> None:
    here = ("--workspace", filled.root)
    code, text, _ = run("examinations", "list", "--limit", 10, *here)
    assert code == 0 and "... and 22 more. All of them: --limit 32; the next: --cursor " in text
    cursor = text.split()[-1]
    code, rest, _ = run("examinations", "list", "--limit", 40, "--cursor", cursor, *here)
    assert code == 0 and "more" not in rest
    assert sum(line.count(" abdomen ") + line.count(" pelvis ") for line in rest.splitlines()) == 22
    first = document(run("examinations", "list", "--limit", 20, *here, "--json"))
    second = document(run("examinations", "list", "--cursor", first["next"], *here, "--json"))
    assert len({item["id"] for item in first["items"] + second["items"]}) == 32 and second["next"] is None
    assert "all of them" not in run("participants", "list", *here)[1].lower()
    page = document(run("participants", "list", "--limit", 3, *here, "--json"))
    assert [
        i["code"] for i in document(run("participants", "list", "--cursor", page["next"], *here, "--json"))["items"]
    ] == ["p3"]
    assert run("assignments", "list", "--cursor", "nonsense", *here)[0] == 1


def test_assignments_are_those_that_are_open_unless_asked(run: Run, filled: OpenedWorkspace) -> None:
    def found(*options: object) -> list[tuple[str, str]]:
        listed = document(run("assignments", "list", "--workspace", filled.root, "--json", *options))
        assert "t-" not in str(listed), "a ticket opens the case"
        return sorted((item["reader"], item["state"]) for item in listed["items"])

    assert found() == [("ada", "open")]
    assert found("--state", "all") == [("ada", "open"), ("ada", "returned"), ("ben", "expired")]
    assert found("--state", "expired") == [("ben", "expired")]
    assert found("--state", "all", "--reader", "ada") == [("ada", "open"), ("ada", "returned")]
    assert found("--state", "all", "--participant", "p0") == [("ada", "returned")]
    assert "correct" in run("assignments", "list", "--workspace", filled.root)[1]


def test_a_readers_own_work_is_shown(run: Run, filled: OpenedWorkspace) -> None:
    here = ("--workspace", filled.root)
    accounts.add(filled.catalog, "ada", Role.RADIOLOGIST, password="seven small words", actor="test")
    found = document(run("cases", "mine", "--reader", "ada", *here, "--json"))
    assert [(one["participant"], one["station"]) for one in found["open"]] == [("p2", "abdomen")]
    assert (found["reader"], found["sent_back"], found["finished"]["items"]) == ("ada", [], [])
    assert "p2" in run("cases", "mine", "--reader", "ada", *here)[1]
    code, _, err = run("cases", "mine", "--reader", "nobody", *here)
    assert code == 1 and "nobody" in err


def test_participants_are_listed_with_what_there_is_of_them(run: Run, filled: OpenedWorkspace) -> None:
    def found(*options: object) -> list[str]:
        listed = document(run("participants", "list", "--workspace", filled.root, "--json", *options))
        return [item["code"] for item in listed["items"]]

    assert found() == ["p0", "p1", "p2", "p3"]
    assert found("--held-out") == found("--excluded") == ["p3"]
    assert found("--training", "--incomplete") == ["p1", "p2"]
    assert found("--complete") == ["p0"]
    first = document(run("participants", "list", "--workspace", filled.root, "--json"))["items"][0]
    assert (first["cases"], first["annotated"], first["examinations"], first["age"]) == (2, 1, 8, 61.5)
    assert "consent" in run("participants", "list", "--workspace", filled.root)[1]


class Waiting:
    """Takes the first round one step further whenever the command waits to look again."""

    def __init__(self, workspace: OpenedWorkspace, *steps: Callable[[Round], None]) -> None:
        self._workspace = workspace
        self._steps = iter(steps)

    def sleep(self, _seconds: float) -> None:
        with self._workspace.catalog.begin() as session:
            row = rounds.get(session, 1)
            assert row is not None
            next(self._steps)(row)


def training(row: Round) -> None:
    row.state, row.progress = (
        RoundState.TRAINING,
        {"stage": "training", "fold": 0, "epoch": 3, "epochs": 10, "fraction": 0.3},
    )


def done(row: Round) -> None:
    row.state, row.result = RoundState.DONE, {"promoted": False, "reason": "not better"}


def failed(row: Round) -> None:
    row.state, row.error = RoundState.FAILED, "the disk is full"


def interrupt(_row: Round) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [(done, 0, "was not promoted (not better)"), (failed, 1, "the disk is full"), (interrupt, 130, "round 1 goes on")],
)
def test_a_round_is_followed_to_its_end(
    run: Run,
    opened: OpenedWorkspace,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Round], None],
    code: int,
    says: str,
) -> None:
    here = ("--workspace", opened.root)
    assert run("rounds", "follow", *here)[0] == 1
    with opened.catalog.begin() as session:
        for number in range(3):
            add_annotation(
                session, add_acquisition(session, add_participant(session, f"p{number}", held_out=number == 0))
            )
    assert "rounds follow 1" in run("rounds", "start", *here)[1]
    monkeypatch.setattr(reports, "time", Waiting(opened, training, end))
    ended, out, err = run("rounds", "follow", *here)
    assert ended == code
    assert "round 1: training, fold 0, epoch 3 of 10" in err
    assert says in out + err
    with opened.catalog.read() as session:
        row = rounds.get(session, 1)
        assert row is not None and (row.state is RoundState.TRAINING) == (end is interrupt)


def test_every_list_is_cut_and_goes_on_where_it_ended(run: Run, filled: OpenedWorkspace) -> None:
    with filled.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p9"))
        annotated = [add_annotation(session, case, number=number) for number in (1, 2, 3)]
        annotated[0].state = AnnotationState.REJECTED
        for number in (1, 2, 3):
            add_round(session, number, [])
            session.add(ModelVersion(version=f"r{number}", status=ModelStatus.CANDIDATE, round_number=number))
            queue.enqueue(session, queue.PRUNE_ROUNDS, {}, key=str(number))
    here = ("--workspace", filled.root)
    of_case = ("annotations", "list", case.primary_examination_id)
    for command, total in (
        (("annotations", "list"), 4),
        (of_case, 3),
        (("rounds", "list"), 3),
        (("models", "list"), 4),
        (("jobs", "list"), 3),
    ):
        whole = document(run(*command, *here, "--json"))
        assert len(whole["items"]) == total and whole["next"] is None, command
        first = document(run(*command, "--limit", 2, *here, "--json"))
        rest = document(run(*command, "--cursor", first["next"], *here, "--json"))
        assert first["items"] + rest["items"] == whole["items"], command
        _, text, _ = run(*command, "--limit", 2, *here)
        assert f"the next: --cursor {first['next']}" in text, text
        assert "--cursor" not in run(*command, *here)[1]
    assert len(document(run(*of_case, "--state", "accepted", *here, "--json"))["items"]) == 2


def test_the_overview_is_the_first_page_of_the_dashboard(run: Run, filled: OpenedWorkspace) -> None:
    code, text, _ = run("overview", "--workspace", filled.root)
    assert code == 0 and "1 of 50 cases to the next round; 1 annotated" in text
    assert "abdomen" in text and "ada" in text and "bootstrap" in text
    found = document(run("overview", "--workspace", filled.root, "--json"))
    assert found["participants"] == {"total": 4, "annotated": 1}
    assert [one["reader"] for one in found["assignments"]] == ["ada"]
