"""Give a reader a case that measures something, in place of the one that comes next, and without saying so.

Three things are measured: how far readers agree with gold cases, whose masks an administrator vouches for; how far a reader
agrees with himself, on a case that he finished before; and what a draft changes, by cases without one.

Everything is drawn from hashes, so that it can be drawn again, and the audit trail keeps each draw with its share. What is
drawn depends on the random id of the waiting case, which its reader never sees, so that no reader can know it in advance.
A reader who has not qualified gets gold cases first. Only radiologists with an account get gold and repeated cases: without
sign-in the id of an image says which case it is, and others may look at every case.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from mrseg_label.catalog.queries import blind_readings as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import BlindKind, Role
from mrseg_label.reading_settings import ReadingSettings
from mrseg_label.worklist.assignments import Assigner


@dataclass(frozen=True)
class BlindChoice:
    """A case that a reader gets in place of the next one.

    Attributes
    ----------
    annotation_id : what the reader's annotation is compared with.
    draft_withheld : whether the reader gets no draft; None where that was not drawn.
    draw, share : the number from 0 to 1 that was drawn, and below which the case is taken; for the audit trail.
    """

    kind: BlindKind
    acquisition_id: str
    annotation_id: str
    draft_withheld: bool | None
    draw: float
    share: float


def draw(*parts: object) -> float:
    """Draw a number from 0 to 1 (1 excluded) from what it depends on: the SHA-256 of the parts, so always the same."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def withholds_draft(settings: ReadingSettings, acquisition_id: str) -> bool | None:
    """Whether whoever gets a case gets no draft of it; None where nothing is drawn."""
    share = settings.without_draft_share
    return draw("draft", acquisition_id) < share if share else None


def choose(assigner: Assigner, settings: ReadingSettings, waiting: str) -> BlindChoice | None:
    """Choose the case that the reader gets in place of the waiting one; None where the reader gets that.

    Parameters
    ----------
    waiting : id of the acquisition that comes next.
    """
    session, reader = assigner.session, assigner.reader
    if reader.account is None or reader.role is not Role.RADIOLOGIST or not settings.blinds_readers:
        return None
    if settings.qualification_cases and rows.awaits_qualification(session, reader):
        gold = rows.next_gold(session, assigner.moment, reader)
        if gold is not None:
            return BlindChoice(BlindKind.GOLD, gold.case.id, gold.annotation_id, None, 0.0, 1.0)
    count = rows.number_of_assignments(session, reader.account)
    drawn, both = draw("case", waiting, reader.account, count), settings.gold_share + settings.repeat_share
    if drawn < settings.gold_share:
        gold = rows.next_gold(session, assigner.moment, reader)
        if gold is not None:
            return BlindChoice(BlindKind.GOLD, gold.case.id, gold.annotation_id, None, drawn, settings.gold_share)
    elif drawn < both:
        repeat = rows.next_repeat(session, assigner.moment, reader, timedelta(days=settings.repeat_after_days))
        if repeat is not None:
            withheld = draw("repeat", repeat.annotation_id) < 0.5
            return BlindChoice(BlindKind.REPEAT, repeat.case.id, repeat.annotation_id, withheld, drawn, both)
    return None


def hides_cases(settings: ReadingSettings, reader: Reader, *, any_blind: bool) -> bool:
    """Whether this reader must not find out which case is which: a radiologist, where any such case is or was assigned."""
    return reader.role is Role.RADIOLOGIST and (settings.blinds_readers or any_blind)
