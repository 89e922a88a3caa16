"""Correct what an import wrote wrongly: participant, session, station and sequence of an image, sex and age of a participant.

What an import suspects of a channel is decided here too, and whether masks are propagated to it (:mod:`~mrseg_label.intake.channel_decisions`).

Participant, session and station belong to an acquisition, so that its channels change together, and sex and age to a
participant. Assignments, drafts and annotations belong to the acquisition and stay with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import acquisitions, audit, examinations, participants, presegmentations, work
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.tables import Acquisition, Examination, Participant
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry
from mrseg_label.intake import channel_decisions
from mrseg_label.intake.exclusion import mark_excluded
from mrseg_label.intake.files.participants import parse_age, parse_sex
from mrseg_label.intake.grouping import add_acquisition, choose_primary, find_acquisition, session_of, set_key
from mrseg_label.intake.names import check_name, clean_code
from mrseg_label.intake.sequences import canonical_sequence
from mrseg_label.jobs import request_cancel

FIELDS = ("participant", "session", "station", "sequence", *channel_decisions.FIELDS, "sex", "age")
_OF_ACQUISITION = ("participant", "session", "station")


@dataclass
class Edit:
    """What a correction of one examination did.

    Attributes
    ----------
    changes : by field, the value before and after; empty if nothing changed.
    notes : what follows from it: channels that changed too, the side of the split, acquisitions that were joined.
    """

    examination: str
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def edit_examinations(
    catalog: Catalog, ids: Sequence[str], values: Mapping[str, str], *, actor: str, alone: bool = False
) -> list[Edit]:
    """Correct examinations, all or none of them.

    Parameters
    ----------
    values : new values by field (:data:`FIELDS`); an empty text means unknown or none. What is left out stays.
    alone : take the image out of its acquisition, without the other channels.

    Raises
    ------
    NotFound
        There is no such examination.
    InvalidInput
        A value cannot be used, or there is none.
    Conflict
        A channel cannot be changed alone, or another channel has that sequence already.
    """
    wanted = _parse(values)
    if not wanted:
        raise InvalidInput(f"nothing to change; give at least one of {', '.join(FIELDS)}")
    with catalog.begin() as session:
        participants.lock_imports(session)
        return [apply(session, _get(session, identifier), wanted, actor=actor, alone=alone) for identifier in ids]


def apply(
    session: Session, examination: Examination, values: Mapping[str, Any], *, actor: str, alone: bool = False
) -> Edit:
    """Correct one examination within a transaction, with an audit entry. Raises as :func:`edit_examinations`.

    Parameters
    ----------
    values : checked values by field.
    """
    edit = Edit(examination.id)
    before, source = _values_of(examination), examination.acquisition
    labelled = channel_decisions.labelled_before(examination)
    places = {name: values[name] for name in _OF_ACQUISITION if name in values and values[name] != before[name]}
    if "sequence" in values and values["sequence"] != before["sequence"]:
        _set_sequence(session, examination, values["sequence"], alone and bool(places))
    if places:
        _move(session, examination, {**before, **places}, edit, alone)
    elif "sequence" in values and values["sequence"] != before["sequence"]:
        choose_primary(session, examination.acquisition)
    edit.notes += channel_decisions.decide(examination, values)
    person = examination.acquisition.participant
    for name in ("sex", "age"):
        if name in values:
            setattr(person, name, values[name])
    session.flush()
    for case in {source, examination.acquisition}:
        if case in session:  # one that was left empty is gone
            settle(session, case)
    edit.notes += channel_decisions.describe_masks(examination, labelled)
    after = _values_of(examination)
    edit.changes = {name: (before[name], after[name]) for name in FIELDS if before[name] != after[name]}
    if edit.changes:
        changes = {name: list(pair) for name, pair in edit.changes.items()}
        audit.record(session, actor, "edited", examination.id, changes=changes, notes=edit.notes)
    return edit


def _parse(values: Mapping[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for name, text in values.items():
        match name:
            case "participant":
                parsed[name] = clean_code(text)
            case "session" | "station":
                parsed[name] = check_name(text.strip())
            case "sequence":
                parsed[name] = check_name(canonical_sequence(text))
            case "swap" | "misregistration" | "propagation":
                parsed[name] = channel_decisions.parse(name, text)
            case "sex":
                parsed[name] = parse_sex(text)
            case "age":
                parsed[name] = parse_age(text)
    return parsed


def _get(session: Session, identifier: str) -> Examination:
    examination = examinations.get(session, identifier) if identifier.isprintable() else None
    if examination is None:
        raise NotFound(f"there is no examination {identifier[:60]!r}; list them with: mrseg-label examinations list")
    return examination


def _values_of(examination: Examination) -> dict[str, Any]:
    acquisition = examination.acquisition
    person = acquisition.participant
    return {
        "participant": person.code,
        "session": session_of(acquisition),
        "station": acquisition.station,
        "sequence": examination.sequence,
        **channel_decisions.read(examination),
        "sex": person.sex,
        "age": person.age,
    }


def _set_sequence(session: Session, examination: Examination, sequence: str, leaves: bool) -> None:
    others = [other for other in examination.acquisition.examinations if other.id != examination.id]
    taken = next((other for other in others if other.sequence == sequence), None)
    if taken is not None and not leaves:
        raise Conflict(
            f"examination {taken.id} is the {sequence or 'unnamed'} channel of the same acquisition; change that one "
            "first, or exclude it"
        )
    examination.sequence = sequence
    session.flush()


def _move(session: Session, examination: Examination, wanted: Mapping[str, Any], edit: Edit, alone: bool) -> None:
    """Give an acquisition, or one image of it, another participant, session or station."""
    source = examination.acquisition
    channels = list(source.examinations)
    if alone and len(channels) > 1:
        if acquisitions.in_use(session, source.id) and examination.id == source.primary_examination_id:
            raise Conflict(
                f"examination {examination.id} is the channel of its acquisition that was drafted, assigned or annotated; "
                "change the whole acquisition, or exclude it"
            )
        moved = [examination]
    else:
        moved = channels
        if len(channels) > 1:
            others = ", ".join(other.id for other in channels if other.id != examination.id)
            edit.notes.append(f"the other channels of its acquisition changed too: {others}")
    old = source.participant
    person = participants.by_code(session, wanted["participant"], lock=True)
    if person is None:
        person = Participant(
            id=new_id("pt"), code=wanted["participant"], cohort=old.cohort, evaluation_only=old.evaluation_only
        )
        session.add(person)
        session.flush()
    if person.evaluation_only is not old.evaluation_only:
        apart = person if person.evaluation_only else old
        raise Conflict(
            f"the cases of participant {apart.code} are kept for evaluation only, those of the other take part in the study; "
            f"admit {apart.code} first, with: mrseg-label participants admit {apart.code}"
        )
    if person is not old:
        _settle_split(session, source, old, person, edit)
    grid = Geometry.from_json(examination.geometry)
    stored = [
        other for other in acquisitions.of_participant(session, person.id, wanted["station"]) if other.id != source.id
    ]
    target, number, _ = find_acquisition(stored, wanted["session"], examination.sequence, grid.matches)
    joins = target is not None and len(moved) == 1 and _is_out(target) == _is_out(source)
    if target is not None and joins and (len(channels) > 1 or _may_dissolve(session, source)):
        _join(session, examination, source, target, edit)
    elif len(moved) < len(channels):
        number = find_acquisition(stored, wanted["session"], "", grid.matches)[1]
        fresh = add_acquisition(session, person, wanted["session"], wanted["station"], examination.sequence, number)
        session.flush()
        _join(session, examination, source, fresh, edit)
    else:
        if target is not None:
            edit.notes.append(
                f"acquisition {target.id} has channels on the same grid, but this one has work of readers, several channels "
                "or another exclusion, so the two stay apart"
            )
            number = find_acquisition(stored, wanted["session"], "", grid.matches)[1]
        _take_exclusion(source, old, person, edit)
        source.participant = person
        set_key(source, person.code, wanted["session"], wanted["station"], number)
        choose_primary(session, source)
    session.flush()
    if person is not old and not old.excluded_at and not acquisitions.of_participant(session, old.id):
        # All that there was of the old participant belongs to the new one.
        person.sex = person.sex or old.sex
        person.age = old.age if person.age is None else person.age
        person.held_out = old.held_out if person.held_out is None else person.held_out
        person.fold_position = old.fold_position if person.fold_position is None else person.fold_position
        session.delete(old)
        edit.notes.append(f"participant {old.code} has no images left and was removed")
        session.flush()


def _is_out(case: Acquisition) -> tuple[bool, bool]:
    return case.excluded_at is not None, case.evaluation_only


def _may_dissolve(session: Session, acquisition: Acquisition) -> bool:
    """Whether an acquisition has nothing of a reader and no running work, so that its image may join another one."""
    if acquisitions.has_readers_work(session, acquisition.id):
        return False
    return not any(
        job.lease_token for job in job_rows.active_with_prefix(session, presegmentations.job_key(acquisition.id, ""))
    )


def _join(session: Session, examination: Examination, source: Acquisition, target: Acquisition, edit: Edit) -> None:
    """Make an image a channel of another acquisition; an acquisition that is left empty is removed with its drafts."""
    source.examinations.remove(examination)
    target.examinations.append(examination)
    session.flush()
    if source.examinations:
        choose_primary(session, source)
    else:
        for job in job_rows.active_with_prefix(session, presegmentations.job_key(source.id, "")):
            request_cancel(job)
        presegmentations.delete_of(session, source.id)
        work.forget_case(session, source.id)
        session.delete(source)
    choose_primary(session, target)
    if len(target.examinations) > 1:
        edit.notes.append(f"it is a channel of acquisition {target.id} now, and shares its draft and annotation")
    session.flush()


def _settle_split(session: Session, source: Acquisition, old: Participant, person: Participant, edit: Edit) -> None:
    """Keep a case that models were trained on from being tested on, whoever it belongs to now."""
    roles = round_rows.roles_of(session, source.id)
    if person.held_out is None:
        if roles:  # no longer free to be decided
            person.held_out = CaseRole.TRAINING not in roles
        return
    if CaseRole.TRAINING in roles and person.held_out:
        person.held_out = False
        edit.notes.append(
            f"participant {person.code} was held out, but a model was trained on this case: all cases of {person.code} "
            "are training cases from now on"
        )
    elif old.held_out is not None and old.held_out != person.held_out:
        side = "held out from training" if person.held_out else "used for training"
        edit.notes.append(f"the case changed sides with its participant: it is {side} now")


def _take_exclusion(source: Acquisition, old: Participant, person: Participant, edit: Edit) -> None:
    """Exclude an acquisition with its new participant, or include it where only the old one was excluded."""
    if person.excluded_at is not None and (source.excluded_at is None or source.evaluation_only):
        mark_excluded(source, person.excluded_at, person.excluded_by, person.excluded_reason)
        edit.notes.append(
            f"participant {person.code} is excluded ({person.excluded_reason}), so this image is excluded too"
        )
    elif old.excluded_at is not None and person.excluded_at is None and source.excluded_at == old.excluded_at:
        mark_excluded(source, None, None, None)
        edit.notes.append(f"it was excluded with participant {old.code}, and is included again")
