"""Compare what a model makes of the images of annotations with the annotations, to find those with which it agrees far less."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from mrseg_label.catalog.queries.held_out import CaseScores
from mrseg_label.catalog.queries.model_audits import Audited
from mrseg_label.catalog.queries.suspicions import Reason, SuspicionKind
from mrseg_label.metrics.outliers import FEWEST_OTHERS, MAX_Z, find_outliers

FAR_BELOW = 0.3
FAR_MM = 20.0
MISSED_SHARE, MISSED_ML = (
    0.3,
    2.0,
)  # of the usual volume, that a model must find of a structure which the reader marked absent
REMNANT = 0.25  # of the usual volume; where annotation and model both have less, they are not compared
_HD95_FLOOR = 0.3  # of the logarithms: about 30 %
Found = Iterator[tuple[str, Reason]]


def compare_scores(version: str, scores: Mapping[str, CaseScores]) -> Found:
    """Find held-out annotations with which a version agrees far less than with others, by what its evaluation measured."""
    for name in sorted({name for case in scores.values() for name in case.dsc}):
        yield from _low(version, name, {key: case.dsc[name] for key, case in scores.items() if name in case.dsc}, {})


def compare_audits(version: str, audits: Mapping[str, Audited], stations: Mapping[str, str]) -> Found:
    """Find annotations with which a version agrees far less than with others, by its audit of them.

    Parameters
    ----------
    stations : by annotation; they are compared with others of their station, where there are enough.
    """
    groups: dict[str, dict[str, Audited]] = {}
    for key, audit in audits.items():
        groups.setdefault(stations.get(key, ""), {})[key] = audit
    rest: dict[str, Audited] = {}
    for group in groups.values():
        if len(group) > FEWEST_OTHERS:
            yield from _compare_alike(version, group)
        else:
            rest |= group
    yield from _compare_alike(version, rest)


def _compare_alike(version: str, audits: Mapping[str, Audited]) -> Found:
    seen = {key: audit.seen for key, audit in audits.items()}
    for name in sorted({name for audit in audits.values() for name in audit.structures}):
        values = {key: audit.structures[name] for key, audit in audits.items() if name in audit.structures}
        both = {key: value for key, value in values.items() if value["ml"][0] > 0}
        usual_ml = median(value["ml"][0] for value in both.values()) if both else 0.0
        # Of what the edge of the field of view leaves of a structure a model may well draw nothing, or a little more.
        both = {key: value for key, value in both.items() if max(value["ml"]) >= REMNANT * usual_ml}
        yield from _low(version, name, {key: float(value["dsc"]) for key, value in both.items()}, seen)
        distances = {key: float(value["hd95_mm"]) for key, value in both.items() if value["hd95_mm"] is not None}
        for key, one in find_outliers(distances, _HD95_FLOOR).items():
            if one.z > 0 and one.value >= FAR_MM:
                text = (
                    f"HD95 {one.value:.0f} mm with {version}{_although(seen[key])}, whose median over {one.others} other cases is "
                    f"{one.median:.0f} mm"
                )
                yield key, Reason(SuspicionKind.MODEL, name, text, 0.7 * (1 - 0.5 * MAX_Z / one.z))
        if len(both) > FEWEST_OTHERS:
            usual = median(value["ml"][0] for value in both.values())
            for key in sorted(values.keys() - both.keys()):
                found = float(values[key]["ml"][1]) if values[key]["ml"][0] == 0 else 0.0
                if found >= max(MISSED_ML, MISSED_SHARE * usual):
                    text = f"marked absent{_although(seen[key], 'and trained on so')}, but {version} finds {found:.0f} ml of it; in {len(both)} other cases the median is {usual:.0f} ml"
                    yield key, Reason(SuspicionKind.MODEL, name, text, 0.8)


def _low(version: str, name: str, values: Mapping[str, float], seen: Mapping[str, bool]) -> Found:
    if len(values) <= FEWEST_OTHERS:
        return
    usual = median(values.values())
    for key, value in values.items():
        if value <= usual - FAR_BELOW and not math.isnan(value):
            text = (
                f"DSC {value:.2f} with {version}{_although(seen.get(key, False))}, whose median over {len(values) - 1} other cases is "
                f"{usual:.2f}"
            )
            yield key, Reason(SuspicionKind.MODEL, name, text, 0.4 + 0.5 * min(1.0, (usual - value) / 0.9))


def _although(seen: bool, words: str = "although it was trained on this case") -> str:
    return f" {words}" if seen else ""
