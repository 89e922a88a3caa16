"""Label lists: the name of each value of a mask, from nnU-Net's ``dataset.json`` or a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.intake.images import MaskLabels
from mrseg_label.segments.files import MAX_LABEL
from mrseg_label.text import decode_text, listed

_VALUE_COLUMNS = ("id", "value", "label", "index", "labelvalue")
_NAME_COLUMNS = ("name", "structure", "label_name", "labelname")


def read_label_list(path: Path) -> MaskLabels:
    """Read values and names, without background, ordered by value.

    Parameters
    ----------
    path : nnU-Net's ``dataset.json`` (``labels`` of version 1 or 2), or a TSV or CSV with a column of values
        (``id``, ``value`` or ``label``) and one of names (``name`` or ``structure``); without a header the
        first column holds the values and the second the names. The ``labels.tsv`` of a workspace is such a table.

    Raises
    ------
    InvalidInput
        There is no such file.
    LabelError
        It is neither of these, or has a value or a name twice.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such label map")
    try:
        text = decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: cannot read the label map: {error}") from error
    pairs = _from_json(text, path) if path.suffix.lower() == ".json" else _from_table(text, path)
    labels = [(value, name) for value, name in pairs if value != 0]
    values, names = [value for value, _ in labels], [name.casefold() for _, name in labels]
    if not labels or len(set(values)) != len(values) or len(set(names)) != len(names):
        raise LabelError(f"{path}: each value and each name must occur once; found {listed(labels, 10)}")
    if min(values) < 1 or max(values) > MAX_LABEL or not all(names):
        raise LabelError(
            f"{path}: values must lie between 1 and {MAX_LABEL} and have names; found {listed(labels, 10)}"
        )
    return sorted(labels)


def _from_json(text: str, path: Path) -> MaskLabels:
    try:
        listed = json.loads(text)["labels"]
        entries = list(listed.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(f"{path}: not a dataset.json of nnU-Net: it has no object 'labels'") from error
    pairs = []
    for key, value in entries:
        if isinstance(value, list | tuple):
            raise LabelError(
                f"{path}: region {key!r} stands for several values {value}; each structure must have one value"
            )
        pairs.append((key, value) if _is_whole(key) and not _is_whole(value) else (value, key))
    try:
        return [(int(value), str(name).strip()) for value, name in pairs]
    except (TypeError, ValueError) as error:
        raise LabelError(f"{path}: labels must be whole numbers with names: {error}") from error


def _is_whole(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit())


def _from_table(text: str, path: Path) -> MaskLabels:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise LabelError(f"{path}: the label map is empty")
    delimiter = max("\t;,", key=lines[0].count)
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    header = [cell.strip().casefold() for cell in rows[0]]
    value_at = next((header.index(name) for name in _VALUE_COLUMNS if name in header), None)
    name_at = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if value_at is not None and name_at is not None:
        rows = rows[1:]
    else:
        value_at, name_at = 0, 1
    try:
        return [(int(row[value_at]), row[name_at].strip()) for row in rows]
    except (IndexError, ValueError) as error:
        raise LabelError(
            f"{path}: each line must have a value and a name; a header may name the columns id and name: {error}"
        ) from error
