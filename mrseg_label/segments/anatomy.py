"""What is known of the structures of a label scheme: pairs from the scheme itself, everything else from ``anatomy.tsv``.

The table names structures of the default scheme, and says why. Other schemes get what it says of structures that they know by the same
name, or as the same class of TotalSegmentator (:class:`mrseg_label.segments.names.NameTable`). Which structure of a pair is the left
one follows from its name in the same way.
"""

from __future__ import annotations

import csv
from pathlib import Path

from mrseg_label.imaging.anatomy import Anatomy, Order, Pair
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.names import NameTable, side_of

_DIRECTIONS = {
    "left of": (0, -1),
    "right of": (0, 1),
    "behind": (1, -1),
    "in front of": (1, 1),
    "below": (2, -1),
    "above": (2, 1),
}


def anatomy_of(scheme: LabelScheme) -> Anatomy:
    """Find what is known of the structures of a scheme."""
    table = NameTable(scheme)
    in_midline: set[int] = set()
    in_one_piece: set[int] = set()
    orders = []
    for row in _rows():
        first, second = (table.match(name) if name else None for name in (row["structure"], row["other"]))
        if first is None or (row["other"] and second is None):
            continue
        if row["is"] == "in midline":
            in_midline.add(scheme[first].id)
        elif row["is"] == "in one piece":
            in_one_piece.add(scheme[first].id)
        elif second is not None and second != first:
            axis, sign = _DIRECTIONS[row["is"]]
            orders.append(Order(scheme[first].id, scheme[second].id, axis, sign, row["reason"]))
    return Anatomy(
        names=scheme.names,
        pairs=_pairs(scheme, table),
        in_midline=frozenset(in_midline),
        in_one_piece=frozenset(in_one_piece),
        orders=tuple(orders),
    )


def _pairs(scheme: LabelScheme, table: NameTable) -> tuple[Pair, ...]:
    """The pairs of which it is known which structure is the left one."""
    matched = {name: table.match(name) for name in LabelScheme.default().names}
    known = {found: name for name, found in matched.items() if found is not None}

    def side(name: str) -> str | None:
        return side_of(scheme[name].shown_name) or side_of(known.get(name, ""))

    pairs = []
    for structure in scheme:
        other = structure.paired_with
        if other is not None and side(structure.name) == "left" and side(other) == "right":
            pairs.append(Pair(structure.id, scheme[other].id))
    return tuple(pairs)


def _rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("anatomy.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))
