"""Find out which structure of the scheme each label of an imported model means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.names import NameTable, check_name
from mrseg_label.text import listed

NOTHING = "-"  # in a map: the label means no structure of the scheme
ANY = "*"  # in a map: every label that is neither listed nor known by its name
_SEPARATORS = ("\t", "=", ";", ",")
_SHOWN = 6


def read_label_map(path: Path) -> dict[str, str]:
    """Read a map from a model's labels to structures.

    Parameters
    ----------
    path : lines ``LABEL = STRUCTURE`` (or separated by a tab, a semicolon or a comma), or a JSON object. ``-`` as the
        structure leaves a label out; ``*`` as the label stands for all that are neither listed nor known by name.

    Raises
    ------
    InvalidInput
        The file cannot be read, or a line is not such a pair or names a label again.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the label map {path} cannot be read as UTF-8 text: {error}") from error
    return parse_label_map(data, str(path))


def parse_label_map(data: bytes, shown: str) -> dict[str, str]:
    """Parse the content of a label map, as :func:`read_label_map` does; ``shown`` is its name in messages."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the label map {shown} cannot be read as UTF-8 text: {error}") from error
    pairs = _json_pairs(text, shown) if text.lstrip().startswith("{") else _line_pairs(text, shown)
    result: dict[str, str] = {}
    for label, structure in pairs:
        if result.setdefault(label, structure) != structure:
            raise InvalidInput(f"{shown}: the label {label!r} is there twice; remove one of the two")
    return result


def _json_pairs(text: str, shown: str) -> list[tuple[str, str]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{shown} is not valid JSON: {error}") from error
    if not all(isinstance(value, str | None) for value in content.values()):
        raise InvalidInput(f'{shown} must give the name of a structure to each label, as in {{"Leber": "liver"}}')
    return [(label.strip(), (structure or NOTHING).strip()) for label, structure in content.items()]


def _line_pairs(text: str, shown: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        separator = next((mark for mark in _SEPARATORS if mark in line), None)
        label, _, structure = line.partition(separator or "\0")
        if separator is None or not label.strip() or not structure.strip():
            raise InvalidInput(f"{shown}, line {number}: {line[:80]!r} must be LABEL = STRUCTURE, or LABEL = -")
        pairs.append((label.strip(), structure.strip()))
    return pairs


def match_labels(
    labels: Mapping[str, int], scheme: LabelScheme, given: Mapping[str, str], stated: Mapping[str, str | None]
) -> dict[str, str | None] | None:
    """Match the labels of a model to structures, as leniently as the names of segments.

    Parameters
    ----------
    labels : label id by the model's name, without background and ``ignore``.
    given : a map from :func:`read_label_map`; it comes first.
    stated : structures that the archive states itself, by label; they count where the scheme has them.

    Returns
    -------
    Structure by label, None for a label that is left out; or None if every structure has a label of its very name.

    Raises
    ------
    InvalidInput
        A label means nothing in the scheme, two mean the same by their names, or the map names what does not exist.
    """
    table = NameTable(scheme)
    chosen = _translated(given, labels, table)
    unknown = []
    by_name: dict[str, str] = {}
    result: dict[str, str | None] = {}
    for label in labels:
        check_label(label)
        if label in chosen:
            result[label] = chosen[label]
            continue
        known = stated.get(label)
        part = table.structure_around(label)
        match = table.match(known) if known else table.match(label)
        if label in stated and known is None:
            result[label] = None
        elif match is not None or part is not None:
            result[label] = match or part
            if not known:
                # Several classes of one label set may make up a structure; two names of the same thing may not.
                other = by_name.setdefault(match or part or "", label)
                parts = part is not None and table.structure_around(other) is not None
                if other != label and not (parts and other.casefold() != label.casefold()):
                    raise InvalidInput(
                        f"the model's labels {other!r} and {label!r} both mean {match or part}; say with --labels MAP what each "
                        "of them means"
                    )
        elif ANY in given:
            result[label] = chosen[ANY]
        else:
            unknown.append(label)
    if unknown:
        raise InvalidInput(_unknown(unknown, scheme))
    if not any(result.values()):
        raise InvalidInput("none of the model's labels is a structure of this workspace, so its drafts would be empty")
    return None if result == {name: name for name in scheme.names} else result


def check_label(label: str) -> None:
    """Raise :class:`InvalidInput` if the name of a label cannot be stored and shown."""
    try:
        check_name(label)
    except LabelError as error:
        raise InvalidInput(str(error).replace("the segment", "the model's label", 1)) from error


def _translated(given: Mapping[str, str], labels: Mapping[str, int], table: NameTable) -> dict[str, str | None]:
    chosen: dict[str, str | None] = {}
    folded = {label.casefold(): label for label in labels}
    for label, structure in given.items():
        found = ANY if label == ANY else label if label in labels else folded.get(label.casefold())
        if found is None:
            raise InvalidInput(
                f"the map names the label {label!r}, which the model lacks; it has: {listed(labels, 40)}"
            )
        match = None if structure == NOTHING else table.match(structure)
        if match is None and structure != NOTHING:
            raise InvalidInput(
                f"the map gives {label!r} the structure {structure!r}, which this workspace's label scheme lacks; write "
                f"one of its names (init's labels.tsv lists them), or {NOTHING} to leave the label out"
            )
        chosen[found] = match
    return chosen


def _unknown(unknown: list[str], scheme: LabelScheme) -> str:
    shown = listed(map(repr, unknown), _SHOWN)
    return (
        f"{len(unknown)} of the model's labels are no structure of this workspace's label scheme: {shown}. Write a "
        f"text file with a line such as '{unknown[0]} = {scheme.names[0]}' for each of them, or '{unknown[0]} = {NOTHING}' "
        f"to leave it out ('{ANY} = {NOTHING}' leaves out the rest), and give it as --labels FILE"
    )
