"""What a unit of work changes is written down with it, in the order of the commits."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, update

from mrseg_label.catalog.database import Catalog, open_catalog
from mrseg_label.catalog.queries import events
from mrseg_label.catalog.tables import Event, ModelVersion, Round
from mrseg_label.catalog.types import JobKind, ModelStatus, RoundState, Topic
from mrseg_label.clock import now
from mrseg_label.jobs.claim import claim
from mrseg_label.jobs.queue import enqueue


def told(catalog: Catalog, after: int = 0) -> list[tuple[Topic, str]]:
    with catalog.read() as session:
        return [(row.topic, row.subject) for row in events.after(session, after, 1000)]


@pytest.fixture
def catalog(tmp_path: Path, database_url: Callable[[Path], str]) -> Iterator[Catalog]:
    made = open_catalog(database_url(tmp_path))
    yield made
    made.close()


def test_each_change_is_told_once_in_its_own_transaction(catalog: Catalog) -> None:
    with catalog.begin() as session:
        job = enqueue(session, JobKind.PRESEGMENT, {}, key="a")
        session.add(Round(number=4, state=RoundState.QUEUED, profile="tiny"))
        session.flush()
        session.get_one(Round, 4).progress = {"epoch": 1}
        assert events.newest(session) == 0
    assert told(catalog) == [(Topic.JOB, job.id), (Topic.ROUND, "4")]
    with suppress(ZeroDivisionError), catalog.begin() as session:
        session.get_one(Round, 4).state = RoundState.FAILED
        session.flush()
        raise ZeroDivisionError
    with catalog.begin() as session:
        session.get_one(Round, 4).state = RoundState.QUEUED  # as it was
    assert len(told(catalog)) == 2


def test_a_lease_is_renewed_without_a_word_and_progress_is_told(catalog: Catalog) -> None:
    with catalog.begin() as session:
        job = enqueue(session, JobKind.PRESEGMENT, {}, key="a")
    claimed = claim(catalog, ["drafts"])
    assert claimed is not None
    before = len(told(catalog))
    claimed.renew(catalog)
    assert len(told(catalog)) == before == 2
    claimed.record_progress(catalog, {"fraction": 0.5})
    with catalog.begin() as session:
        claimed.finish(catalog, session, {})
    assert told(catalog)[before:] == [(Topic.JOB, job.id)] * 2


def test_a_statement_that_changes_many_rows_tells_of_each(catalog: Catalog) -> None:
    with catalog.begin() as session:
        session.add_all(ModelVersion(version=name, status=ModelStatus.CANDIDATE) for name in ("r1", "r2", "r3"))
    before = len(told(catalog))
    with catalog.begin() as session:
        session.execute(update(ModelVersion).where(ModelVersion.version != "r2").values(status=ModelStatus.RETIRED))
    assert sorted(told(catalog)[before:]) == [(Topic.MODEL, "r1"), (Topic.MODEL, "r3")]


def test_old_changes_are_deleted_and_no_number_is_given_twice(catalog: Catalog) -> None:
    for key in "abc":
        with catalog.begin() as session:
            enqueue(session, JobKind.PRESEGMENT, {}, key=key)
    with catalog.begin() as session:
        session.execute(update(Event).where(Event.id < 3).values(at=now() - timedelta(days=9)))
        events.delete_before(session, now() - timedelta(days=7))
        assert (events.oldest(session), events.newest(session)) == (3, 3)
        events.delete_before(session, now() + timedelta(days=7))
        assert (events.oldest(session), events.newest(session)) == (3, 3)
    with catalog.begin() as session:
        enqueue(session, JobKind.PRESEGMENT, {}, key="d")
    with catalog.read() as session:
        assert events.newest(session) == 4


@pytest.mark.postgresql
def test_whoever_reads_on_misses_no_change_of_writers_that_overtake_each_other(catalog: Catalog) -> None:
    """PostgreSQL gives numbers before the commit: without the lock a slow writer's would appear below others."""
    writers, each = 6, 40
    pause, turn = threading.Event(), itertools.count()
    # A slow commit, after the number was given.
    event.listen(catalog._writer, "before_commit", lambda _: pause.wait(0.03 if next(turn) % 5 == 0 else 0))

    def write(writer: int) -> None:
        for n in range(each):
            with catalog.begin() as session:
                enqueue(session, JobKind.PRESEGMENT, {}, key=f"{writer}-{n}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while True:
        at_work = any(thread.is_alive() for thread in threads)
        with catalog.read() as session:
            found = [row.id for row in events.after(session, seen[-1] if seen else 0, 50)]
        seen += found
        if not found and not at_work:
            break
    assert len(seen) == writers * each and seen == sorted(set(seen))
