"""What is known of the structures of a label scheme, as values: which lie in pairs, in the midline, in one piece, and where to each other.

:mod:`mrseg_label.segments.anatomy` makes them for a scheme. Directions are those of RAS world coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pair:
    """Label ids of two structures that are each other's mirror image."""

    left: int
    right: int


@dataclass(frozen=True)
class Order:
    """A structure that lies in one direction from another.

    Attributes
    ----------
    first, second : label ids.
    axis : world axis: 0 from left to right, 1 from back to front, 2 from feet to head.
    sign : 1 where the first lies further along the axis (right, front, head), else -1.
    reason : why it must be so, as a part of a sentence.
    """

    first: int
    second: int
    axis: int
    sign: int
    reason: str


@dataclass(frozen=True)
class Anatomy:
    """What is known of the structures of a scheme.

    Attributes
    ----------
    names : in the order of the label ids, from 1.
    pairs : structures with a left and a right one.
    in_midline : label ids of structures that lie in the midplane of the body.
    in_one_piece : label ids of structures that are connected.
    orders : where structures lie to each other.
    """

    names: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()
    in_midline: frozenset[int] = frozenset()
    in_one_piece: frozenset[int] = frozenset()
    orders: tuple[Order, ...] = ()
    _opposite: Mapping[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        opposite = {pair.left: pair.right for pair in self.pairs} | {pair.right: pair.left for pair in self.pairs}
        object.__setattr__(self, "_opposite", opposite)

    def name(self, label: int) -> str:
        """The name of the structure with a label id."""
        return self.names[label - 1]

    def opposite(self, label: int) -> int:
        """The label id of the structure on the other side."""
        return self._opposite[label]
