"""Read what readers submitted without knowing why: gold cases, repeated cases, and cases without a draft.

The intervals are percentiles of 2,000 resamples of participants, drawn with a fixed seed: cases of one participant are not
independent. Of a difference both arms are resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sqlalchemy.orm import Session

from mrseg_label.annotation import blind_readings as measured_rows
from mrseg_label.annotation.blind_readings import Compared, mean_dsc
from mrseg_label.annotation.readings import Agreement
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import blind_readings as rows
from mrseg_label.catalog.types import Role
from mrseg_label.reports.documents.blind_readings import (
    DraftArmOut,
    DraftBiasOut,
    EstimateOut,
    GoldCaseOut,
    GoldOut,
    GoldReaderOut,
    GoldReadingOut,
    PairOfMasksOut,
)

RESAMPLES, SEED = 2000, 20231
NEWEST = 10
RULE = (
    "Whether a case came with its draft was drawn beforehand, so that the two kinds of cases differ in nothing else. What a "
    "reader submitted first counts. Repeated cases are compared with the reader's own first mask; it stays the one that is "
    "trained on. Intervals: 95 %, by resampling participants."
)


@dataclass(frozen=True)
class _Measured:
    reading: Compared
    structures: Mapping[str, Agreement]
    participant: str

    @property
    def dsc(self) -> float | None:
        return mean_dsc(self.structures)

    @property
    def hd95_mm(self) -> float | None:
        values = [one.hd95_mm for one in self.structures.values() if one.counts and one.hd95_mm is not None]
        return fmean(values) if values else None

    @property
    def infinite(self) -> int:
        """Structures that only one of the two masks has."""
        return sum(one.counts and one.dsc == 0 and one.hd95_mm is None for one in self.structures.values())

    @property
    def minutes(self) -> float | None:
        effort = self.reading.annotation.effort or {}
        seconds = effort.get("sitting_seconds", self.reading.annotation.seconds)
        return None if seconds is None else float(seconds) / 60


_Value = Callable[[_Measured], float | None]


def read_draft_bias(workspace: OpenedWorkspace) -> DraftBiasOut:
    """Read how far drafts influence what readers submit."""
    with workspace.catalog.read() as session:
        drawn = measured_rows.readings_with_drafts(session)
        first = [one for one in drawn if one.assignment.blind is None]
        repeats = measured_rows.repeated_readings(session)
        found, missing = _measured(session, workspace, first)
        again, missing_again = _measured(session, workspace, repeats)
    shown = [one for one in found if not one.reading.assignment.draft_withheld]
    withheld = [one for one in found if one.reading.assignment.draft_withheld]
    both = [one for one in again if not one.reading.assignment.draft_withheld]
    without = [one for one in again if one.reading.assignment.draft_withheld]
    return DraftBiasOut(
        shown=_arm(shown),
        withheld=_arm(withheld),
        dsc_difference=_difference(shown, withheld, lambda one: one.dsc),
        minutes_difference=_difference(shown, withheld, lambda one: one.minutes),
        repeated_shown=_pair(both),
        repeated_withheld=_pair(without),
        repeated_difference=_difference(both, without, lambda one: one.dsc),
        not_measured=missing + missing_again,
        rule=RULE,
    )


def read_gold(workspace: OpenedWorkspace, reader: str | None = None) -> GoldOut:
    """Read the gold cases, and how readers, or one of them, did on them."""
    settings = workspace.settings
    with workspace.catalog.read() as session:
        cases = [
            GoldCaseOut(
                annotation=gold.annotation_id,
                examination=case.primary_examination_id,
                participant=case.participant.code,
                station=case.station,
                marked=gold.created_at,
                by=gold.marked_by,
                readers=count,
            )
            for gold, case, count in rows.gold_cases(session)
        ]
        everything = measured_rows.gold_readings(session, reader)
        found, missing = _measured(session, workspace, everything)
        by_id = {one.reading.annotation.id: one for one in found}
        names = sorted({str(one.assignment.account) for one in everything})
        if settings.qualification_cases and reader is None:
            names = sorted({*names, *rows.radiologists(session)})
        readers = []
        for name in names:
            account = rows.account_named(session, name)
            own = [one for one in everything if one.assignment.account == name]
            done = [by_id[one.annotation.id] for one in own if one.annotation.id in by_id]
            people = rows.participants_of(session, [one.annotation.acquisition_id for one in own])
            readers.append(
                GoldReaderOut(
                    reader=name,
                    qualified=account.qualified_at if account else None,
                    awaits_qualification=bool(
                        settings.qualification_cases
                        and account
                        and account.role is Role.RADIOLOGIST
                        and account.qualified_at is None
                    ),
                    overall=_pair(done),
                    newest=_pair(done[-NEWEST:]),
                    readings=[
                        _reading(one, by_id.get(one.annotation.id), people[one.annotation.acquisition_id])
                        for one in own
                    ],
                )
            )
    return GoldOut(
        cases=cases,
        readers=readers,
        qualification_cases=settings.qualification_cases,
        qualification_dsc=settings.qualification_dsc,
        not_measured=missing,
    )


def _measured(session: Session, workspace: OpenedWorkspace, found: Sequence[Compared]) -> tuple[list[_Measured], int]:
    """What was measured of some readings, and how many were not."""
    known = measured_rows.agreement_of(session, workspace.scheme, found)
    people = rows.participants_of(session, [one.annotation.acquisition_id for one in found])
    done = [
        _Measured(one, known[one.annotation.id], people[one.annotation.acquisition_id])
        for one in found
        if one.annotation.id in known
    ]
    return done, len(found) - len(done)


def _reading(one: Compared, measured: _Measured | None, participant: str) -> GoldReadingOut:
    return GoldReadingOut(
        annotation=one.annotation.id,
        created=one.annotation.created_at,
        examination=one.annotation.examination_id,
        participant=participant,
        mean_dsc=None if measured is None else measured.dsc,
        mean_hd95_mm=None if measured is None else measured.hd95_mm,
    )


def _arm(found: Sequence[_Measured]) -> DraftArmOut:
    return DraftArmOut(cases=len(found), with_draft=_pair(found), minutes=_estimate(found, lambda one: one.minutes))


def _pair(found: Sequence[_Measured]) -> PairOfMasksOut:
    return PairOfMasksOut(
        dsc=_estimate(found, lambda one: one.dsc),
        hd95_mm=_estimate(found, lambda one: one.hd95_mm),
        hd95_infinite=sum(one.infinite for one in found),
    )


def _estimate(found: Sequence[_Measured], value: _Value) -> EstimateOut:
    values, people = _values(found, value)
    low, high = resampled([(values, people)])
    return EstimateOut(
        mean=fmean(values) if values else None, low=low, high=high, cases=len(values), participants=len(set(people))
    )


def _difference(first: Sequence[_Measured], second: Sequence[_Measured], value: _Value) -> EstimateOut:
    (ours, our_people), (theirs, their_people) = _values(first, value), _values(second, value)
    low, high = resampled([(ours, our_people), (theirs, their_people)])
    mean = fmean(ours) - fmean(theirs) if ours and theirs else None
    people = len({*our_people, *their_people})
    return EstimateOut(mean=mean, low=low, high=high, cases=len(ours) + len(theirs), participants=people)


def _values(found: Sequence[_Measured], value: _Value) -> tuple[list[float], list[str]]:
    pairs = [(number, one.participant) for one in found if (number := value(one)) is not None]
    return [number for number, _ in pairs], [person for _, person in pairs]


def resampled(arms: Sequence[tuple[Sequence[float], Sequence[str]]]) -> tuple[float | None, float | None]:
    """The 95 % interval of a mean or, of two arms, of the difference of their means; None below two participants in an arm.

    Participants of all arms are resampled together, since one may have cases in both.

    Parameters
    ----------
    arms : values and, for each, whose it is.
    """
    import numpy as np  # here: the server starts without it

    if any(len(set(people)) < 2 for _, people in arms):
        return None, None
    names = sorted({person for _, people in arms for person in people})
    place = {name: index for index, name in enumerate(names)}
    draws = np.random.default_rng(SEED).multinomial(len(names), [1 / len(names)] * len(names), RESAMPLES)
    means = []
    for values, people in arms:
        weights = draws[:, [place[person] for person in people]].astype(float)
        total = weights.sum(axis=1)
        means.append(np.divide(weights @ np.array(values), total, out=np.full(RESAMPLES, np.nan), where=total > 0))
    found = means[0] if len(means) == 1 else means[0] - means[1]
    low, high = np.nanpercentile(found, [2.5, 97.5]).tolist()
    return low, high
