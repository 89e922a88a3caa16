"""Note what shows that a reader works on a case; the time at work is told from it (docs/effort.md)."""

from __future__ import annotations

from datetime import timedelta

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import examinations, work
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Sign

# A program that asks again and again does not fill the table, and the time is none the less exact enough.
APART = timedelta(seconds=30)


def note_viewed(catalog: Catalog, reader: Reader, examination_id: str) -> None:
    """Note that a reader opened an examination in the browser."""
    with catalog.read() as session:
        examination = examinations.get(session, examination_id)
    if examination is not None:
        note_work(catalog, reader, examination.acquisition_id, Sign.VIEWED)


def note_work(catalog: Catalog, reader: Reader, acquisition_id: str, sign: Sign) -> None:
    """Note that a reader requested something of a case, unless they did so less than APART ago."""
    with catalog.read() as session:
        newest = work.newest_of_reader(session, reader)
        if newest is not None and newest.acquisition_id == acquisition_id and catalog.now(session) - newest.at < APART:
            return
    with catalog.begin() as session:
        work.add(session, reader, acquisition_id, sign, catalog.now(session))
