"""Pair the masks of two folders by their names, and find out whose they are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.evaluation.values import CaseOf
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.files.matching import ParticipantTable
from mrseg_label.intake.files.participants import read_participants
from mrseg_label.intake.files.pattern import Pattern
from mrseg_label.intake.names import strip_suffix
from mrseg_label.intake.options import Refused
from mrseg_label.intake.sequences import canonical_sequence, sequence_in_name
from mrseg_label.nnunet.dataset_json import PROPAGATED_TABLE
from mrseg_label.text import listed, readable

_SHOWN = 3


@dataclass(frozen=True)
class Naming:
    """How the masks of a folder are described.

    Attributes
    ----------
    model : name of what made the predictions.
    data_set : name of the data set.
    pattern : of the paths below the folder of references, as ``import --pattern``; None if names say nothing of their own.
    participants : table with the columns participant, sex, age.
    """

    model: str = ""
    data_set: str = ""
    pattern: str | None = None
    participants: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference."""

    case: CaseOf
    prediction: Path
    reference: Path


@dataclass
class Pairs:
    """The masks of two folders.

    Attributes
    ----------
    refused : references without a prediction, names that do not match, lines of the table that cannot be used.
    unmatched : predictions without a reference, by their paths below the folder.
    """

    found: list[Pair] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def find_pairs(predictions: Path, references: Path, naming: Naming) -> Pairs:
    """Pair masks with the same path below their folders, whatever their formats; or two files.

    References whose mask was propagated are marked where the folder, or the nnU-Net data set that it is in, has the table of them that
    ``mrseg-label export --format nnunet`` wrote.

    Raises
    ------
    InvalidInput
        A folder does not exist or has no masks, a mask is there twice in two formats, or nothing matches.
    """
    own, theirs = _masks(predictions, "predictions"), _masks(references, "references")
    if predictions.is_file() and references.is_file():
        own = {next(iter(theirs)): next(iter(own.values()))}
    shared = sorted(own.keys() & theirs.keys())
    if not shared:
        raise InvalidInput(
            f"no prediction in {predictions} has the name of a reference in {references}: predictions are {listed(sorted(own), _SHOWN)}; "
            f"references are {listed(sorted(theirs), _SHOWN)}. Masks are paired by their paths below the two folders, without suffix"
        )
    pairs = Pairs(unmatched=sorted(own.keys() - theirs.keys()))
    table = ParticipantTable()
    if naming.participants is not None:
        rows, refused = read_participants(naming.participants)
        pairs.refused += refused
        table = ParticipantTable(rows, loose=True)
    pattern = Pattern(naming.pattern) if naming.pattern else None
    drawn_on = _drawn_on(references)
    for name in sorted(theirs):
        if name not in own:
            pairs.refused.append(Refused(name, "there is no prediction of this name"))
            continue
        try:
            case = _case(name, theirs[name], references, naming, pattern, table)
        except InvalidInput as error:
            pairs.refused.append(Refused(name, str(error)))
            continue
        case = replace(case, propagated_from=readable(drawn_on.get(name, "")))
        pairs.found.append(Pair(case, own[name], theirs[name]))
    return pairs


def _case(
    name: str, path: Path, root: Path, naming: Naming, pattern: Pattern | None, table: ParticipantTable
) -> CaseOf:
    relative = PurePosixPath(path.name if root.is_file() else path.relative_to(root).as_posix())
    found = FoundFile(path.absolute(), name, relative)
    fields: dict[str, str] = {}
    if pattern is not None:
        matched = pattern.match(found)
        if matched is None:
            raise InvalidInput(f"the path does not match the pattern {pattern.text}")
        fields = matched
    code = fields.get("participant") or (table.listed_code(found) if table.rows else None) or name
    row = table.rows.get(code)
    if row is None and len(like := table.rows_like(code)) == 1:
        row = table.rows[like[0]]
    stated = fields.get("sequence")
    return CaseOf(
        model=naming.model,
        case=readable(name),
        participant=readable(code),
        data_set=naming.data_set,
        sequence=canonical_sequence(stated) if stated else sequence_in_name(name),
        station=fields.get("station", ""),
        sex=(row.sex or "") if row else "",
        age=math.nan if row is None or row.age is None else row.age,
    )


def _drawn_on(references: Path) -> dict[str, str]:
    """Read which references were drawn on another image, by their names."""
    beside = (references / PROPAGATED_TABLE, references.resolve().parent / PROPAGATED_TABLE)
    table = next((path for path in beside if path.is_file()), None)
    if table is None:
        return {}
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{table}: cannot be read: {error}; export the data set again, or remove the file"
        ) from error
    if not lines or lines[0].split("\t") != ["case", "drawn_on"]:
        return {}  # a table of something else
    rows = (line.split("\t") for line in lines[1:])
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _masks(folder: Path, what: str) -> dict[str, Path]:
    """List the masks of a folder by their paths without suffix."""
    if folder.is_file():
        return {_stem(folder.name): folder}
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: there is no such folder of {what}")
    masks: dict[str, Path] = {}
    for path in _files(folder):
        name = _stem(path.relative_to(folder).as_posix())
        if name in masks:
            raise InvalidInput(
                f"{folder}: {masks[name].name} and {path.name} are two {what} of one name; remove one of them"
            )
        masks[name] = path
    if not masks:
        raise InvalidInput(f"{folder}: has no {what}; masks are {', '.join(SUFFIXES)} and .seg.nrrd files")
    return masks


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base, name) for name in sorted(names) if name.lower().endswith(SUFFIXES) and name[0] != ".")


def _stem(name: str) -> str:
    """The name of a mask without its suffix: ``a.seg.nrrd`` and ``a.nii.gz`` are of one image."""
    stem = strip_suffix(name)
    return stem[:-4] if stem.lower().endswith(".seg") and name.lower().endswith(".nrrd") else stem
