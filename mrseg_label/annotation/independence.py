"""Which annotations of a case are independent readings, so that their agreement says something about the readers.

An annotation is an independent reading if its reader

- began with a draft or with an empty mask, not with an annotation: a correction of a correction agrees with it by
  construction, and so does a restored mask;
- had not been given, reviewed or downloaded an annotation of the case by another reader before submitting: a second reading
  counts only while it is blinded;
- is known: neither an import nor a name that several people share.

Of each reader the newest such annotation of a case counts, unless a reviewer rejected it or it was withdrawn. Both readers may
have corrected the same draft; then they agree more than two who drew by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlalchemy.orm import Session

from mrseg_label.annotation.record import RESTORED_FROM, STARTED_FROM
from mrseg_label.catalog.queries import readings
from mrseg_label.catalog.queries.readings import Pair, Reading, Sight
from mrseg_label.catalog.types import ANONYMOUS, DEFAULT_CLIENT, IMPORT_AUTHOR

_NOBODY = frozenset({ANONYMOUS, DEFAULT_CLIENT, IMPORT_AUTHOR})

# Shown wherever agreement is.
INDEPENDENT = (
    "independent readings of the same case by two readers, of whom neither began with an annotation or had seen one of the case "
    "by another reader; not those that were rejected or withdrawn"
)


@dataclass(frozen=True)
class ReadingPair:
    """Two independent readings of a case; the readers in the order of their names."""

    first: Reading
    second: Reading

    @property
    def digests(self) -> Pair:
        """The pair under which their agreement is stored."""
        return readings.ordered(self.first.digest, self.second.digest)

    @property
    def same_draft(self) -> bool:
        """Whether both began with the same draft."""
        return self.first.presegmentation_id is not None and (
            self.first.presegmentation_id == self.second.presegmentation_id
        )


def find_pairs(session: Session) -> list[ReadingPair]:
    """Find every pair of independent readings of the same case, in a fixed order."""
    found = readings.of_cases_with_several_readers(session)
    seen = readings.sights(session, [one.id for one in found])
    return pairs_among(found, seen)


def pairs_among(found: Sequence[Reading], seen: Iterable[Sight]) -> list[ReadingPair]:
    """Pair the independent readings among annotations, each with those of the same case by another reader."""
    authors = {one.id: one.author for one in found}
    cases = {one.id: one.acquisition_id for one in found}
    sights: dict[tuple[str, str], list[Sight]] = {}
    for sight in seen:
        if authors[sight.annotation_id] != sight.reader:
            sights.setdefault((cases[sight.annotation_id], sight.reader), []).append(sight)
    newest: dict[str, dict[str, Reading]] = {}
    for one in sorted(found, key=lambda one: one.number):
        blinded = not any(sight.at <= one.created_at for sight in sights.get((one.acquisition_id, one.author), ()))
        if blinded and _is_own_work(one):
            newest.setdefault(one.acquisition_id, {})[one.author] = one
    return [
        ReadingPair(first, second)
        for _, by_reader in sorted(newest.items())
        for first, second in combinations([by_reader[name] for name in sorted(by_reader)], 2)
    ]


def _is_own_work(one: Reading) -> bool:
    if one.rejected or one.author in _NOBODY or one.client == IMPORT_AUTHOR:
        return False
    return RESTORED_FROM not in one.report and STARTED_FROM not in one.report
