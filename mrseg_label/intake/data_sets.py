"""Participants of data sets that number their cases themselves: another data set may have the same numbers."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import examinations, participants
from mrseg_label.catalog.tables import Participant
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.names import clean_code


def codes_of(named: NamedImage) -> list[str]:
    """Codes for a case of a data set: its own number, then with the folder of the data set before it, then its path."""
    folder = Path(named.data_set)
    case = named.participant
    return [case, clean_code(f"{folder.name}/{case}"), clean_code(f"{folder}/{case}")]


def choose_code(session: Session, named: NamedImage) -> tuple[str, Participant | None]:
    """Choose the code of a case of a data set: the first that is free, or that has images of this data set alone.

    Raises
    ------
    InvalidInput
        There are participants of all these codes with images from elsewhere.
    """
    for code in codes_of(named):
        participant = participants.by_code(session, code, lock=True)
        sources = [] if participant is None else examinations.sources_of(session, participant.id)
        if all(Path(source).is_relative_to(named.data_set) for source in sources):
            return code, participant
    raise InvalidInput(
        f"there are already participants {named.participant} of other data sets; give the participant with --participant "
        "or --pattern"
    )
