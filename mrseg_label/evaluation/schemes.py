"""The label scheme by which masks are judged."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.intake.masks.label_lists import read_label_list
from mrseg_label.labels import LabelScheme
from mrseg_label.workspace import Workspace


def find_scheme(stated: Path | None, folder: Path) -> LabelScheme:
    """Read the scheme of a file, else that of the workspace in a folder, else MRSegmentator's.

    A list of label ids with gaps is no scheme, but names structures: these become one, in the order of their ids.

    Raises
    ------
    InvalidInput, LabelError
        The file does not exist, or names no structures.
    """
    if stated is None:
        return Workspace.open(folder).scheme if (folder / CONFIG_FILE).is_file() else LabelScheme.default()
    if not stated.is_file():
        raise InvalidInput(f"{stated}: no such label scheme")
    try:
        return LabelScheme.read(stated)
    except LabelError:
        names = [name for _, name in read_label_list(stated)]
        rows = "".join(f"{number}\t{name}\n" for number, name in enumerate(names, start=1))
        return LabelScheme.parse(f"id\tname\n{rows}", str(stated))
