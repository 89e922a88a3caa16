"""Assign a list of names to the structures of the scheme: the classes that make up one structure are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mrseg_label.errors import LabelError
from mrseg_label.segments.names import NameTable
from mrseg_label.text import listed

_LISTED = 5


@dataclass(frozen=True)
class Assigned:
    """The structures that names stand for.

    Attributes
    ----------
    structures : the structure of each position in the list (from 0) whose name stands for one. Several positions have
        the same structure where their names are different classes of it (``sacrum`` and ``vertebrae_S1``).
    incomplete : structures that only some of their classes make up, in words.
    """

    structures: dict[int, str]
    incomplete: tuple[str, ...]

    def name_of(self, position: int, names: Sequence[str]) -> str:
        """The name under which a position is decoded: its own, or its structure where that has several classes."""
        structure = self.structures.get(position)
        alone = structure is None or list(self.structures.values()).count(structure) == 1
        return names[position] if alone or structure is None else structure


def assign_structures(table: NameTable, names: Sequence[str], *, partial: bool) -> Assigned:
    """Find the structure of each name of a list.

    Parameters
    ----------
    partial : take a structure also where only some of its classes are listed (a few vertebrae for ``spine``). Otherwise
        its classes count only together, or with the structure itself.

    Raises
    ------
    LabelError
        Two names stand for the same structure as a whole, or for the same class of it.
    """
    members: dict[str, list[int]] = {}
    whole: dict[str, str] = {}  # the name that stands for the whole structure
    seen: dict[tuple[str, str], str] = {}
    for position, name in enumerate(names):
        structure = table.match(name)
        part = None if structure is not None else table.structure_around(name)
        if structure is not None:
            whole.setdefault(structure, name)
            meaning = ("", structure)
        elif part is not None:
            structure, meaning = part, (part, name.casefold())
        else:
            continue
        if meaning in seen:
            raise LabelError(
                f"two segments stand for {structure}: {seen[meaning]!r} and {name!r}; merge them or delete one"
            )
        seen[meaning] = name
        members.setdefault(structure, []).append(position)
    structures: dict[int, str] = {}
    incomplete: list[str] = []
    for structure, positions in members.items():
        missing = [] if structure in whole else table.missing_classes(structure, [names[p] for p in positions])
        if missing and not partial:
            continue
        structures |= dict.fromkeys(positions, structure)
        if missing:
            incomplete.append(
                f"{structure} is made of {len(positions)} of its classes; {listed(missing, _LISTED)} are missing"
            )
    return Assigned(structures, tuple(incomplete))
