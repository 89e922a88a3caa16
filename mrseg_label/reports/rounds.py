"""Read rounds as documents, and their logs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import rounds, training
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import ENDED_ROUNDS
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.rounds import CaseOut, FoldDetail, RoundDetail, RoundOut
from mrseg_label.reports.paging import decode_name, decode_number, page_of
from mrseg_label.rounds.service import log_path

MAX_LOG_BYTES = 1 << 20
CASES_SHOWN = 1000  # of a snapshot, with its round
FOLLOW_SECONDS = 1.0


def read_rounds(catalog: Catalog, limit: int, cursor: str | None = None) -> Page[RoundOut]:
    """Read a page of rounds, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        found = _documents(session, rounds.page(session, limit + 1, decode_number(cursor)))
    return page_of(found, limit, lambda item: (item.number,))


def read_newest_round(catalog: Catalog) -> RoundOut | None:
    """Read the round with the highest number, whatever its state; None before the first."""
    with catalog.read() as session:
        newest = rounds.newest(session)
        return _documents(session, [newest])[0] if newest is not None else None


def read_progress_of_newest(catalog: Catalog) -> Round | None:
    """Read the row of the round with the highest number, which says how far it is; None before the first."""
    with catalog.read() as session:
        return rounds.newest(session)


def read_followed_round(catalog: Catalog, number: int | None) -> RoundOut:
    """Read a round, by default the one that is queued or running, else the newest.

    Raises
    ------
    NotFound
        There is no such round, or none at all.
    """
    with catalog.read() as session:
        row = rounds.get(session, number) if number else rounds.active(session) or rounds.newest(session)
        if row is None:
            raise NotFound(
                _no_round(number) if number else "no round was started yet; start one with: mrseg-label rounds start"
            )
        return _documents(session, [row])[0]


def follow_round(catalog: Catalog, number: int) -> Iterator[RoundOut]:
    """Read a round until it has ended, and yield it whenever it has changed.

    Raises
    ------
    NotFound
        There is no such round.
    """
    before: RoundOut | None = None
    while before is None or before.state not in ENDED_ROUNDS:
        if before is not None:
            time.sleep(FOLLOW_SECONDS)
        present = read_followed_round(catalog, number)
        if present != before:
            yield present
        before = present


def read_round(catalog: Catalog, number: int) -> RoundDetail:
    """Read a round with its folds and the cases of its snapshot; of a large one the first thousand.

    Raises
    ------
    NotFound
        There is no such round.
    """
    with catalog.read() as session:
        row = rounds.get(session, number)
        if row is None:
            raise NotFound(_no_round(number))
        counts = rounds.case_counts(session, [number]).get(number, {})
        version = rounds.versions_of(session, [number]).get(number)
        folds, cases = training.folds(session, number), rounds.snapshot_page(session, number, CASES_SHOWN)
        return RoundDetail.of_detail(row, counts, version, folds, cases)


def read_round_cases(catalog: Catalog, number: int, limit: int, cursor: str | None = None) -> Page[CaseOut]:
    """Read a page of the cases of a round's snapshot.

    Raises
    ------
    NotFound
        There is no such round.
    InvalidInput
        The cursor does not come from this list.
    """
    after = decode_name(cursor)
    with catalog.read() as session:
        if rounds.get(session, number) is None:
            raise NotFound(_no_round(number))
        cases = [CaseOut.of(case) for case in rounds.snapshot_page(session, number, limit + 1, after)]
    return page_of(cases, limit, lambda case: (case.annotation,))


def is_round_active(catalog: Catalog) -> bool:
    """Return whether a round is queued or running."""
    with catalog.read() as session:
        return rounds.active(session) is not None


def read_fold(catalog: Catalog, number: int, fold: int) -> FoldDetail:
    """Read a fold of a round with its curve.

    Raises
    ------
    NotFound
        There is no such round, or it has no such fold.
    """
    with catalog.read() as session:
        row = training.get(session, number, fold)
        if row is None:
            raise NotFound(_no_fold(session, number, fold))
        return FoldDetail.of_detail(row)


def read_folds(catalog: Catalog, number: int) -> list[FoldDetail]:
    """Read all folds of a round with their curves, by number; empty before its training, and if there is no such round."""
    with catalog.read() as session:
        return [FoldDetail.of_detail(row) for row in training.folds(session, number)]


def read_end_of_log(workspace: OpenedWorkspace, number: int, lines: int) -> str:
    """Read the last lines of a round's log; empty before the training. Raises as :func:`read_log`."""
    return "\n".join(read_log(workspace, number).splitlines()[-lines:])


def read_log(workspace: OpenedWorkspace, number: int, fold: int | None = None) -> str:
    """Read the end of a round's log, at most a megabyte that begins with a whole line; empty before the training.

    It comes from the file if that is on this machine, and else from the catalogue. The file grows while it is read, so
    that this is a text of its own and not the file.

    Parameters
    ----------
    fold : only the log of this fold; by default that of the round with those of all folds which jobs of their own train.
        A fold that was trained with the round has its log in the round's.

    Raises
    ------
    NotFound
        There is no such round, or it has no such fold.
    """
    with workspace.catalog.read() as session:
        if rounds.get(session, number) is None:
            raise NotFound(_no_round(number))
        found = [row.fold for row in training.folds(session, number)]
        if fold is not None and fold not in found:
            raise NotFound(_no_fold(session, number, fold))
        logs = {one: _read_log(workspace, session, number, one) for one in ([fold] if fold is not None else found)}
        if fold is not None and logs[fold]:
            return logs[fold]
        parts = [_read_log(workspace, session, number, None)]
    if fold is None:
        parts += [f"==> fold {one} <==\n{text}" for one, text in logs.items() if text]
    return "\n".join(_end_of(part, MAX_LOG_BYTES // len(parts)) for part in parts)


def _read_log(workspace: OpenedWorkspace, session: Session, number: int, fold: int | None) -> str:
    path = log_path(workspace, number, fold)
    if path.is_file():
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - MAX_LOG_BYTES - 1))
            return _end_of(stream.read(MAX_LOG_BYTES + 1).decode(errors="replace"))
    return _end_of("".join(piece.text for piece in training.pieces(session, number, fold)))


def _end_of(text: str, length: int = MAX_LOG_BYTES) -> str:
    """The end of a text, beginning with a whole line."""
    return text if len(text) <= length else text[-length:].partition("\n")[2]


def _documents(session: Session, rows: Sequence[Round]) -> list[RoundOut]:
    numbers = [row.number for row in rows]
    counts = rounds.case_counts(session, numbers)
    versions = rounds.versions_of(session, numbers)
    return [RoundOut.of(row, counts.get(row.number, {}), versions.get(row.number)) for row in rows]


def _no_fold(session: Session, number: int, fold: int) -> str:
    if rounds.get(session, number) is None:
        return _no_round(number)
    found = ", ".join(str(row.fold) for row in training.folds(session, number))
    return f"round {number} has no fold {fold}; " + (f"it has {found}" if found else "its training has not begun")


def _no_round(number: int) -> str:
    return f"there is no round {number}; list the rounds with: mrseg-label rounds list"
