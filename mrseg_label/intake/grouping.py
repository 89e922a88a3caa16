"""Acquisitions of a participant: which of them an image is a channel of, and which channel is opened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.tables import Acquisition, Participant
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry
from mrseg_label.intake.exclusion import keep_for_evaluation, mark_excluded
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES, most_preferred


def session_of(acquisition: Acquisition) -> str:
    """Return the session of an acquisition, as its import named it."""
    return str(key_of(acquisition)[1])


def key_of(acquisition: Acquisition) -> tuple[str, str, str, int]:
    """Return participant code, session, station and number that identify an acquisition at an import."""
    code, session_name, station, number = json.loads(acquisition.key)
    return str(code), str(session_name), str(station), int(number)


def set_key(acquisition: Acquisition, code: str, session_name: str, station: str, number: int) -> None:
    """Write what identifies an acquisition at an import."""
    acquisition.key = json.dumps([code, session_name, station, number], ensure_ascii=False)
    acquisition.station = station


def find_acquisition(
    stored: Sequence[Acquisition], session_name: str, sequence: str, is_on_grid: Callable[[Geometry], bool]
) -> tuple[Acquisition | None, int, bool]:
    """Find the acquisition that an image is a channel of.

    Parameters
    ----------
    stored : acquisitions of the image's participant and station.
    is_on_grid : whether the image is on a grid.

    Returns
    -------
    acquisition : or None.
    number : of the acquisition; where there is none, a free one within the session.
    is_repeat : whether there is an image of the same sequence on the same grid, so that this one is a repeat.
    """
    is_repeat = False
    count = 0
    for acquisition in stored:
        _, other_session, _, number = key_of(acquisition)
        if other_session != session_name:
            continue
        count = max(count, number)
        channels = acquisition.examinations
        if not sequence or not all(channel.sequence for channel in channels):
            continue  # only names of sequences tell that two images were taken together
        if not channels or not is_on_grid(Geometry.from_json(channels[0].geometry)):
            continue
        if sequence not in {channel.sequence for channel in channels}:
            return acquisition, number, False
        is_repeat = True
    return None, count + 1, is_repeat


def add_acquisition(
    session: Session, participant: Participant, session_name: str, station: str, sequence: str, number: int
) -> Acquisition:
    """Add an acquisition without images; it is excluded, or kept for evaluation, where its participant is."""
    acquisition = Acquisition(
        id=new_id("aq"),
        participant=participant,
        examinations=[],
        sequence=sequence,
        shuffle=random.random(),
    )
    set_key(acquisition, participant.code, session_name, station, number)
    if participant.excluded_at is not None:
        mark_excluded(acquisition, participant.excluded_at, participant.excluded_by, participant.excluded_reason)
    elif participant.evaluation_only:
        keep_for_evaluation(acquisition)
    session.add(acquisition)
    return acquisition


def choose_primary(session: Session, acquisition: Acquisition, preference: Sequence[str] = PRIMARY_SEQUENCES) -> None:
    """Choose the channel that is pre-segmented and opened, unless a reader or a draft has one already."""
    channels = acquisition.examinations
    chosen = next((channel for channel in channels if channel.id == acquisition.primary_examination_id), None)
    if chosen is None or not acquisitions.in_use(session, acquisition.id):
        chosen = channels[most_preferred([channel.sequence for channel in channels], preference)]
    acquisition.primary_examination_id = chosen.id
    acquisition.sequence = chosen.sequence
