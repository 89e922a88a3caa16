"""What the whole catalogue contains: numbers of rows, and the files that rows point to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant, Presegmentation


def row_counts(session: Session) -> dict[str, int]:
    """How many participants, acquisitions, examinations and annotations there are."""
    tables = {
        "participants": Participant,
        "acquisitions": Acquisition,
        "examinations": Examination,
        "annotations": Annotation,
    }
    return {name: session.scalars(select(func.count()).select_from(table)).one() for name, table in tables.items()}


def stored_files(session: Session) -> Sequence[tuple[str, str]]:
    """Path and SHA-256 of every single stored file that a row points to: images, pre-segmentations, masks, uploads."""
    files: list[tuple[str, str]] = []
    for path, digest in (
        (Examination.path, Examination.digest),
        (Presegmentation.path, Presegmentation.digest),
        (Annotation.path, Annotation.digest),
        (Annotation.upload_path, Annotation.upload_digest),
    ):
        files.extend(session.execute(select(path, digest).order_by(path)))
    return list(dict.fromkeys(files))


def stored_files_by_path(session: Session) -> Iterator[tuple[str, str]]:
    """The same as :func:`stored_files` in the order of the paths, one at a time; on SQLite, whose text has Python's order."""
    columns = (
        (Examination.path, Examination.digest),
        (Presegmentation.path, Presegmentation.digest),
        (Annotation.path, Annotation.digest),
        (Annotation.upload_path, Annotation.upload_digest),
    )
    found = union(*(select(path.label("path"), digest.label("digest")) for path, digest in columns)).subquery()
    rows = session.execute(
        select(found.c.path, found.c.digest).order_by(found.c.path).execution_options(yield_per=1000)
    )
    yield from ((path, digest) for path, digest in rows)
