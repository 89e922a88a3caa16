"""Read how far readers agree, from what workers measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mrseg_label.annotation.independence import ReadingPair, find_pairs
from mrseg_label.annotation.readings import Agreement, select_judged
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import readings
from mrseg_label.reports.documents.agreement import (
    AgreementSummaryOut,
    ComparedCaseOut,
    OwnAgreementOut,
    ReaderAgreementOut,
    ReaderPairOut,
    StructureAgreementOut,
)
from mrseg_label.scoring import mean_distance


@dataclass(frozen=True)
class _Measured:
    pair: ReadingPair
    structures: Mapping[str, Agreement]

    @property
    def mean_dsc(self) -> float | None:
        values = [one.dsc for one in self.structures.values() if one.counts and one.dsc is not None]
        return fmean(values) if values else None


def read_agreement(workspace: OpenedWorkspace, reader: str | None = None) -> ReaderAgreementOut:
    """Read how far readers agree; with ``reader`` only the pairs that this one is of."""
    found, missing = _read_pairs(workspace, reader)
    names = workspace.scheme.names
    by_readers: dict[tuple[str, str], list[_Measured]] = {}
    for one in found:
        by_readers.setdefault((one.pair.first.author, one.pair.second.author), []).append(one)
    return ReaderAgreementOut(
        overall=_summarise(found, names),
        readers=[
            ReaderPairOut(first=first, second=second, **vars(_summarise(pairs, names)))
            for (first, second), pairs in sorted(by_readers.items())
        ],
        cases=sorted(map(_case, found), key=lambda case: (case.mean_dsc is None, case.mean_dsc or 0.0, case.first)),
        not_measured=missing,
    )


def read_own_agreement(workspace: OpenedWorkspace, reader: str) -> OwnAgreementOut:
    """Read how far one reader agrees with the others."""
    found, _ = _read_pairs(workspace, reader)
    others = {name for one in found for name in (one.pair.first.author, one.pair.second.author)} - {reader}
    summary = _summarise(found, workspace.scheme.names)
    return OwnAgreementOut(reader=reader, others=len(others), **vars(summary))


def _read_pairs(workspace: OpenedWorkspace, reader: str | None) -> tuple[list[_Measured], int]:
    """The pairs that were measured, and the number of those that were not."""
    with workspace.catalog.read() as session:
        pairs = [
            pair for pair in find_pairs(session) if reader is None or reader in (pair.first.author, pair.second.author)
        ]
        stored = readings.agreements(session, {pair.digests for pair in pairs})
        ids = {one.id for pair in pairs for one in (pair.first, pair.second)}
        judged = readings.judged(session, ids)
    found = [
        _Measured(
            pair,
            select_judged(
                workspace.scheme,
                stored[pair.digests],
                judged.get(pair.first.id, set()) & judged.get(pair.second.id, set()),
            ),
        )
        for pair in pairs
        if pair.digests in stored
    ]
    return found, len(pairs) - len(found)


def _summarise(found: Sequence[_Measured], names: Sequence[str]) -> AgreementSummaryOut:
    means = [one.mean_dsc for one in found if one.mean_dsc is not None]
    structures = {name: _structure([one.structures[name] for one in found if name in one.structures]) for name in names}
    return AgreementSummaryOut(
        cases=len(found),
        same_draft=sum(one.pair.same_draft for one in found),
        mean_dsc=fmean(means) if means else None,
        structures={name: one for name, one in structures.items() if one.cases},
    )


def _structure(values: Sequence[Agreement]) -> StructureAgreementOut:
    dsc = [one.dsc for one in values if one.counts and one.dsc is not None]
    nsd = [one.nsd for one in values if one.counts and one.nsd is not None]
    distances = mean_distance(math.inf if one.hd95_infinite else one.hd95_mm for one in values if one.counts)
    return StructureAgreementOut(
        cases=len(dsc),
        dsc=fmean(dsc) if dsc else None,
        dsc_sd=stdev(dsc) if len(dsc) > 1 else None,
        hd95_mm=distances.mean_mm,
        hd95_sd_mm=distances.sd_mm,
        hd95_cases=distances.finite,
        hd95_infinite=distances.infinite,
        nsd=fmean(nsd) if nsd else None,
        nsd_sd=stdev(nsd) if len(nsd) > 1 else None,
    )


def _case(one: _Measured) -> ComparedCaseOut:
    first, second = one.pair.first, one.pair.second
    return ComparedCaseOut(
        examination=first.examination_id,
        first=first.id,
        second=second.id,
        first_reader=first.author,
        second_reader=second.author,
        created=max(first.created_at, second.created_at),
        mean_dsc=one.mean_dsc,
    )
