"""Examinations, and the names that clients gave to images that they uploaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Acquisition, Alias, Examination, Participant
from mrseg_label.catalog.types import CaseState, Priority, SwapState

_IDS_PER_QUERY = 500  # databases limit the number of values in a query


@dataclass(frozen=True)
class ExaminationFilter:
    """Which examinations are listed; None does not restrict."""

    station: str | None = None
    sequence: str | None = None
    annotated: bool | None = None
    excluded: bool | None = None
    state: CaseState | None = None
    participant: str | None = None  # code
    swap: SwapState | None = None
    misregistration: Misregistration | None = None
    priority: Priority | None = None

    def conditions(self, moment: datetime) -> list[concepts.Condition]:
        """Translate the filter into SQL conditions; assignments end with time, so that the state needs the moment."""
        conditions = self.conditions_of_case()
        if self.state is not None:
            conditions += concepts.has_state(self.state, moment)
        if self.participant is not None:
            conditions.append(Participant.code == self.participant)
        if self.station is not None:
            conditions.append(Acquisition.station == self.station)
        if self.sequence is not None:
            conditions.append(Examination.sequence == self.sequence)
        if self.swap is not None:
            conditions.append(Examination.swap == self.swap)
        if self.misregistration is not None:
            conditions.append(Examination.misregistration == self.misregistration)
        if self.excluded is not None:
            conditions.append(~concepts.is_included() if self.excluded else concepts.is_included())
        return conditions

    def beside_groups(self, moment: datetime) -> list[concepts.Condition]:
        """What station, sequence and stored state of an examination do not tell."""
        stored = self.state in (None, CaseState.EXCLUDED)
        return self.conditions_of_case() + ([] if stored else concepts.nobody_has(moment))

    def conditions_of_case(self) -> list[concepts.Condition]:
        """Priority, and whether it is annotated, which of an excluded case its stored state does not tell."""
        conditions: list[concepts.Condition] = []
        if self.priority is not None:
            conditions.append(concepts.has_priority(self.priority))
        if self.annotated is not None:
            conditions.append(concepts.is_annotated() if self.annotated else ~concepts.is_annotated())
        return conditions


def get(session: Session, examination_id: str) -> Examination | None:
    """An examination by id, with its acquisition and participant."""
    return session.get(Examination, examination_id)


def newest(session: Session) -> Examination | None:
    """The examination that was stored last, if there is one."""
    return session.scalars(
        newest_first(select(Examination), Examination.created_at, Examination.id, None).limit(1)
    ).one_or_none()


def of_series(session: Session, token: str) -> Sequence[Examination]:
    """The examinations that were imported from a DICOM series, by the token that stands for its UID in their source."""
    return (
        session.scalars(select(Examination).where(Examination.source.contains(token, autoescape=True))).unique().all()
    )


def of_participant_code(session: Session, code: str) -> Sequence[Examination]:
    """The examinations of a participant."""
    found = select(Examination).join(Acquisition).join(Participant).where(Participant.code == code)
    return session.scalars(found).unique().all()


class ListedImage(NamedTuple):
    """What describes an examination in a list."""

    id: str
    acquisition_id: str
    sequence: str
    digest: str
    created_at: datetime
    station: str

    @staticmethod
    def of(row: Examination) -> ListedImage:
        """Make it of the whole row."""
        described = row.sequence, row.digest, row.created_at
        return ListedImage(row.id, row.acquisition_id, *described, row.acquisition.station)


# The columns that make a ListedImage, in a query that joins the acquisition.
LISTED = (
    Examination.id,
    Examination.acquisition_id,
    Examination.sequence,
    Examination.digest,
    Examination.created_at,
    Acquisition.station,
)


def listed(session: Session, ids: Collection[str]) -> dict[str, ListedImage]:
    """What describes examinations in a list, by id."""
    query = select(*LISTED).join(Acquisition, Acquisition.id == Examination.acquisition_id)
    return {row[0]: ListedImage(*row) for row in session.execute(query.where(Examination.id.in_(ids)))}


def states(session: Session, acquisition_ids: Sequence[str], moment: datetime) -> dict[str, CaseState]:
    """The state of each of these cases."""
    query = select(Acquisition.id, concepts.state(moment)).where(Acquisition.id.in_(acquisition_ids))
    return {acquisition_id: CaseState(state) for acquisition_id, state in session.execute(query)}


def acquisitions_of(session: Session, examination_ids: Sequence[str]) -> dict[str, str]:
    """The acquisition of each of these examinations, as far as they exist."""
    found: dict[str, str] = {}
    for start in range(0, len(examination_ids), _IDS_PER_QUERY):
        ids = examination_ids[start : start + _IDS_PER_QUERY]
        query = select(Examination.id, Examination.acquisition_id).where(Examination.id.in_(ids))
        found |= dict(session.execute(query).all())
    return found


def opened_of(session: Session, acquisition_ids: Sequence[str]) -> list[str]:
    """The examinations that readers open of some acquisitions."""
    query = select(Acquisition.primary_examination_id).where(Acquisition.id.in_(acquisition_ids))
    return sorted(identifier for identifier in session.scalars(query) if identifier)


def of_cases(query: Select[Any]) -> Select[Any]:
    """Join the acquisitions and participants of the examinations of a query."""
    return query.join(Acquisition, Acquisition.id == Examination.acquisition_id).join(
        Participant, Participant.id == Acquisition.participant_id
    )


def has_source(session: Session, source_digest: str) -> bool:
    """Whether an examination was made of a file with these bytes."""
    return session.scalar(select(Examination.id).where(Examination.source_digest == source_digest).limit(1)) is not None


def same_image(session: Session, source_digest: str, digest: str = "") -> Sequence[Examination]:
    """Examinations made of a file with these bytes, or stored with this content; oldest first."""
    same = Examination.source_digest == source_digest
    if digest:
        same = or_(same, Examination.digest == digest)
    return session.scalars(select(Examination).where(same).order_by(Examination.created_at, Examination.id)).all()


def with_fingerprint(session: Session, fingerprint: str) -> Sequence[Examination]:
    """Examinations that may be the scan with this fingerprint; oldest first."""
    query = select(Examination).where(Examination.fingerprint == fingerprint)
    return session.scalars(query.order_by(Examination.created_at, Examination.id)).all()


def without_fingerprint(session: Session, limit: int) -> Sequence[Examination]:
    """Examinations of earlier versions whose fingerprint is not known yet."""
    return session.scalars(select(Examination).where(Examination.fingerprint.is_(None)).limit(limit)).all()


def lack_fingerprint(session: Session) -> bool:
    """Whether any examination has no fingerprint yet."""
    return session.scalar(select(Examination.id).where(Examination.fingerprint.is_(None)).limit(1)) is not None


def sources_of(session: Session, participant_id: str) -> Sequence[str]:
    """The files from which a participant's examinations were imported."""
    query = select(Examination.source).join(Acquisition).where(Acquisition.participant_id == participant_id)
    return session.scalars(query).all()


def by_alias(session: Session, name: str, client: str | None) -> Examination | None:
    """The image that a client uploaded last under that name; with ``client`` None, that anyone did."""
    query = select(Examination).join(Alias, Alias.examination_id == Examination.id).where(Alias.name == name)
    if client is not None:
        query = query.where(Alias.client == client)
    return session.scalars(query.order_by(Alias.created_at.desc()).limit(1)).unique().one_or_none()


def has_alias(session: Session, examination_id: str, client: str) -> bool:
    """Whether a client uploaded that image."""
    query = select(exists().where(Alias.examination_id == examination_id, Alias.client == client))
    return bool(session.scalar(query))


def set_alias(session: Session, client: str, name: str, examination_id: str) -> None:
    """Store a client's own name for an examination."""
    session.merge(Alias(client=client, name=name, examination_id=examination_id))


def of_dicom_study(session: Session, token: str) -> int:
    """Number of examinations of a study that was fetched from an archive with these contents."""
    return session.scalar(select(func.count()).where(Examination.dicom_study == token)) or 0


def of_dicom_series(session: Session, tokens: Sequence[str]) -> list[Examination]:
    """Examinations that were made of these DICOM series."""
    found: list[Examination] = []
    for start in range(0, len(tokens), _IDS_PER_QUERY):
        query = select(Examination).where(Examination.dicom_series.in_(tokens[start : start + _IDS_PER_QUERY]))
        found += session.scalars(query.order_by(Examination.id)).unique()
    return found
