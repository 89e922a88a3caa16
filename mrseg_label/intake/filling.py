"""Fill in what is missing of an image that is imported again, and name what differs."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.intake.data_sets import choose_code, codes_of
from mrseg_label.intake.editing import Edit, apply
from mrseg_label.intake.grouping import session_of
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.names import codes_from_path, strip_suffix
from mrseg_label.text import readable

UPLOAD_CODE = "upload-"
_DIGEST_LENGTH = 16


def upload_code(source_digest: str) -> str:
    """Return the participant code of an image that a reader uploads."""
    return UPLOAD_CODE + source_digest[:_DIGEST_LENGTH]


@dataclass(frozen=True)
class Unchanged:
    """An image that is an examination already.

    Attributes
    ----------
    edit : what was filled in.
    differs : what this import names otherwise than the catalogue has it.
    """

    examination: Examination
    edit: Edit
    differs: tuple[str, ...] = ()


def fill_in(session: Session, named: NamedImage, present: Sequence[Examination], actor: str) -> Unchanged:
    """Return the stored examination that an image is, with what was missing of it filled in.

    A participant that was derived from the file, or from an upload, is no statement: the image is given to the one
    that is stated now.

    Raises
    ------
    InvalidInput
        The image is stored under another participant, who was stated.
    """
    examination = _stored_under(named, present)
    wanted: dict[str, Any] = {}
    if examination is None:
        examination = next((row for row in present if named.stated and _has_derived_code(row, named)), None)
        if examination is not None:
            wanted["participant"] = choose_code(session, named)[0] if named.data_set else named.participant
        elif named.data_set and (same_file := [row for row in present if row.source == named.origin]):
            examination = same_file[0]  # somebody gave it to another participant than the layout of its folder does
        else:
            raise InvalidInput(_refusal(present[0]))
    differs = []
    if named.stated:
        before = {
            "session": session_of(examination.acquisition),
            "station": examination.acquisition.station,
            "sequence": examination.sequence,
        }
        # The session of DICOM files has a token of the study, which a converted copy cannot have.
        session_name = named.session if named.series is None else ""
        for name, value in (("session", session_name), ("station", named.station), ("sequence", named.sequence)):
            if value and not before[name]:
                wanted[name] = value
            elif value and value != before[name]:
                differs.append(
                    f"the {name} is {before[name]!r} in the catalogue, but {value!r} in this import; the catalogue was not "
                    f"changed, which this does: mrseg-label examinations edit {examination.id} --{name} {value!r}"
                )
    if not wanted:
        return Unchanged(examination, Edit(examination.id), tuple(differs))
    try:
        # Images that were one acquisition only because their stations were unknown part; what is in use stays together.
        alone = not acquisitions.in_use(session, examination.acquisition_id)
        edit = apply(session, examination, wanted, actor=actor, alone=alone)
    except Conflict as error:
        return Unchanged(examination, Edit(examination.id), (*differs, f"not filled in: {error}"))
    return Unchanged(examination, edit, tuple(differs))


def _stored_under(named: NamedImage, present: Sequence[Examination]) -> Examination | None:
    """Return the stored examination of the participant of an image."""
    if named.data_set:
        codes = set(codes_of(named))
    else:
        codes = {named.participant} if named.stated else set(codes_from_path(named.path, named.participant))
    for examination in present:
        if examination.source == named.origin and not named.stated:
            return examination
        if examination.acquisition.participant.code in codes:
            return examination
    return None


def _has_derived_code(examination: Examination, named: NamedImage) -> bool:
    """Whether nobody stated the participant of a stored image: its code follows from this file, or from an upload."""
    code = examination.acquisition.participant.code
    if code == upload_code(examination.source_digest):
        return True
    if examination.source != named.origin or named.series is not None:
        return False
    parts = [*named.path.parts[1:-1], strip_suffix(named.path.name)]
    derived = {"/".join(parts[-count:]) for count in range(1, len(parts) + 1)} | {"/".join(named.path.parts[1:])}
    return code in {unicodedata.normalize("NFC", readable(text)).strip() for text in derived}


def _refusal(other: Examination) -> str:
    return (
        f"the same scan is already stored for participant {other.acquisition.participant.code} (examination {other.id}, "
        f"from {Path(other.source).name}); under two participants it would leak from training into validation: leave "
        "it out, or give the same participant. If the stored participant is wrong: "
        f"mrseg-label examinations edit {other.id} --participant CODE"
    )
