"""Measure what readers submitted without knowing why: against gold cases, against themselves, and against drafts.

Each pair of masks is measured once and kept as the agreement of any two masks is. A radiologist whose last readings of gold
cases are good enough is qualified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sqlalchemy.orm import Session

from mrseg_label.annotation.readings import Agreement, measure, select_judged
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import audit, readings
from mrseg_label.catalog.queries import blind_readings as rows
from mrseg_label.catalog.tables import Annotation, Assignment, GoldCase
from mrseg_label.catalog.types import PROGRAM, AnnotationState, BlindKind, Role
from mrseg_label.config import Settings, load_settings
from mrseg_label.errors import Conflict, MrsegError, NotFound
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme


@dataclass(frozen=True)
class Compared:
    """An annotation with the mask that it is compared with: a path and the digest of its file."""

    assignment: Assignment
    annotation: Annotation
    path: str
    digest: str
    judged: frozenset[str] | None  # structures that the other mask judges; None: all, as a draft does

    @property
    def pair(self) -> readings.Pair:
        """The pair under which the measures are stored."""
        return readings.ordered(self.annotation.digest, self.digest)


def gold_readings(session: Session, account: str | None = None) -> list[Compared]:
    """Readings of gold cases with the gold masks, oldest first."""
    return _with_masks(session, rows.blind_readings(session, BlindKind.GOLD, account))


def repeated_readings(session: Session) -> list[Compared]:
    """Repeated readings with the reader's own first masks, oldest first."""
    return _with_masks(session, rows.blind_readings(session, BlindKind.REPEAT))


def readings_with_drafts(session: Session) -> list[Compared]:
    """Readings for which a draft was drawn, and the first readings of repeated ones, each with that draft."""
    found = []
    for assignment, annotation in rows.drawn_readings(session):
        draft = rows.draft_of(session, annotation)
        if draft is not None:
            found.append(Compared(assignment, annotation, draft.path, draft.digest, None))
    return found


def measure_blind_readings(context: JobContext) -> int:
    """Measure what was not measured yet, qualify who is due, and return how many pairs were measured."""
    workspace = context.workspace
    with context.catalog.read() as session:
        found = [*gold_readings(session), *repeated_readings(session), *readings_with_drafts(session)]
        by_pair = {one.pair: one for one in found}
        known = readings.agreements(session, by_pair)
    done = 0
    for pair in sorted(by_pair.keys() - known.keys()):
        context.check()
        one = by_pair[pair]
        try:
            measured = measure(workspace, one.annotation.path, one.path)
        except (MrsegError, OSError):
            continue  # doctor --verify names the file
        with context.catalog.begin() as session:
            readings.store(session, pair, measured, context.catalog.now(session))
        done += 1
    qualify_due(context.catalog, workspace.scheme, load_settings(workspace.root))
    return done


def agreement_of(session: Session, scheme: LabelScheme, found: Sequence[Compared]) -> dict[str, dict[str, Agreement]]:
    """The measures of these readings, by annotation and structure that both masks judge; those not measured yet left out."""
    stored = readings.agreements(session, {one.pair for one in found})
    judged = readings.judged(session, {one.annotation.id for one in found})
    return {
        one.annotation.id: select_judged(scheme, stored[one.pair], _both(one, judged))
        for one in found
        if one.pair in stored
    }


def mean_dsc(structures: Mapping[str, Agreement]) -> float | None:
    """Mean DSC over the structures that count."""
    values = [one.dsc for one in structures.values() if one.counts and one.dsc is not None]
    return fmean(values) if values else None


def qualify_due(catalog: Catalog, scheme: LabelScheme, settings: Settings) -> list[str]:
    """Qualify the radiologists whose last QUALIFICATION_CASES gold readings have the mean DSC that is wanted."""
    wanted = settings.qualification_cases
    if not wanted:
        return []
    qualified = []
    with catalog.begin() as session:
        found = gold_readings(session)
        measured = agreement_of(session, scheme, found)
        for name in sorted({str(one.assignment.account) for one in found}):
            account = rows.account_named(session, name)
            if account is None or account.role is not Role.RADIOLOGIST or account.qualified_at is not None:
                continue
            means = [
                mean
                for one in found
                if one.assignment.account == name and one.annotation.id in measured
                if (mean := mean_dsc(measured[one.annotation.id])) is not None
            ][-wanted:]
            if len(means) == wanted and fmean(means) >= settings.qualification_dsc:
                account.qualified_at, account.qualified_by = catalog.now(session), PROGRAM
                audit.record(session, PROGRAM, "qualified", name, mean_dsc=round(fmean(means), 4), cases=wanted)
                qualified.append(name)
    return qualified


def set_qualified(catalog: Catalog, name: str, *, actor: str, qualified: bool = True) -> None:
    """Let the annotations of a radiologist count from now on whatever the gold cases say, or not any more.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        It is no radiologist's, whose annotations always count, or nothing would change.
    """
    with catalog.begin() as session:
        account = rows.account_named(session, name)
        if account is None:
            raise NotFound(f"there is no account {name[:60]!r}")
        if account.role is not Role.RADIOLOGIST:
            raise Conflict(f"{name} has the role {account.role}; only radiologists are qualified")
        if (account.qualified_at is not None) == qualified:
            raise Conflict(f"{name} is {'already' if qualified else 'not'} qualified")
        account.qualified_at = catalog.now(session) if qualified else None
        account.qualified_by = actor if qualified else None
        audit.record(session, actor, "qualified" if qualified else "disqualified", name)


def mark_gold(catalog: Catalog, annotation_id: str, *, actor: str) -> None:
    """Mark an accepted annotation as gold: readers get its case without knowing, and are compared with it.

    Another gold annotation of the same case is replaced; readings that were compared with it stay so.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        It is not accepted, its case is excluded, or it is gold already.
    """
    with catalog.begin() as session:
        row = annotation_rows.get(session, annotation_id) if annotation_id.isprintable() else None
        if row is None:
            raise NotFound(f"there is no annotation {annotation_id[:60]!r}")
        case = rows.case_of(session, row)
        if row.state is not AnnotationState.ACCEPTED or row.version is not None:
            raise Conflict(f"{annotation_id} is {row.state}; only an accepted annotation can be gold")
        if case.excluded_at is not None:
            raise Conflict(f"the case of {annotation_id} is excluded, so that readers never get it")
        present = rows.gold_of(session, case.id)
        if present is not None and present.annotation_id == annotation_id:
            raise Conflict(f"{annotation_id} is gold already")
        moment = catalog.now(session)
        if present is None:
            session.add(
                GoldCase(acquisition_id=case.id, annotation_id=annotation_id, marked_by=actor, created_at=moment)
            )
        else:
            present.annotation_id, present.marked_by, present.created_at = annotation_id, actor, moment
        audit.record(session, actor, "marked gold", annotation_id, acquisition=case.id)


def unmark_gold(catalog: Catalog, annotation_id: str, *, actor: str) -> None:
    """Stop to assign a gold case; its readings are kept. Raises :class:`NotFound` where the annotation is not gold."""
    with catalog.begin() as session:
        row = annotation_rows.get(session, annotation_id) if annotation_id.isprintable() else None
        gold = None if row is None else rows.gold_of(session, row.acquisition_id)
        if gold is None or gold.annotation_id != annotation_id:
            raise NotFound(f"{annotation_id[:60]!r} is not a gold annotation")
        session.delete(gold)
        audit.record(session, actor, "unmarked gold", annotation_id, acquisition=gold.acquisition_id)


def _with_masks(session: Session, found: Sequence[rows.BlindReading]) -> list[Compared]:
    judged = readings.judged(session, {one.compared.id for one in found})
    return [
        Compared(
            one.assignment,
            one.annotation,
            one.compared.path,
            one.compared.digest,
            frozenset(judged.get(one.compared.id, set())),
        )
        for one in found
    ]


def _both(one: Compared, judged: Mapping[str, set[str]]) -> set[str]:
    own = judged.get(one.annotation.id, set())
    return own if one.judged is None else own & one.judged
