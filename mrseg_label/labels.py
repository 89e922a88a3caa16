"""The label scheme: the structures that a workspace annotates, read from a TSV file or nnU-Net's ``dataset.json``.

Columns: ``id`` (1 to N without gaps), ``name`` (as people write it; files and documents use a key made from it), ``region``, ``paired_with`` (the structure on the other side),
``color`` (``#rrggbb``; where it is missing, one that differs from the others), ``nsd_tolerance_mm`` (distance between surfaces that counts as agreement),
``snomed_ct``, ``snomed_ct_meaning`` and ``laterality`` (its code, for DICOM), and any number of columns ``<label set>_ids`` or ``<label set>_id``
with the ids of the same structure in another label set, separated by commas. The default is Table 2 of Häntze et al. 2024 (arXiv 2405.06463).
Outside of tests and the phantom no code depends on the number or the names of structures.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label.errors import LabelError
from mrseg_label.snomed_ct import SnomedConcept, check_distinct, parse_concept
from mrseg_label.text import key_of, tidy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_STRUCTURES = 254  # label maps are uint8, and nnU-Net needs one more value for voxels that were not annotated
TOTALSEGMENTATOR_TOTAL = "totalsegmentator_total"
TOTALSEGMENTATOR_V3 = "totalsegmentator_total_v3"
TOTALSEGMENTATOR_MR = "totalsegmentator_total_mr"
MRSEGMENTATOR = "mrsegmentator"
MAX_NAME_LENGTH = 200
# TotalSegmentator's own evaluation: Wasserthal J, et al. Radiol Artif Intell 2023;5:e230024. https://doi.org/10.1148/ryai.230024
DEFAULT_NSD_TOLERANCE_MM = 3.0
_RESERVED = ("background", "ignore")  # names with a meaning for nnU-Net
_MILLIMETRES = re.compile(r"[0-9]{1,3}(\.[0-9]+)?")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Structure:
    """One structure of a scheme.

    Attributes
    ----------
    id : value of its voxels in every stored label map.
    name : key by which files, documents and settings name it: the display name itself if it has only letters, digits
        and ``_ . + -``, else made from it (``Left Kidney`` becomes ``left_kidney``).
    display_name : the name as people write it; empty where it is the key.
    nsd_tolerance_mm : distance between surfaces that the normalised surface Dice accepts.
    region : part of the body, as in the paper's tables; may be empty.
    paired_with : name of the structure on the other side of the body, or None.
    color : red, green, blue, 0 to 255.
    foreign_ids : ids of the same structure in other label sets, by label set.
    snomed_ct : its code, if the scheme has it.
    """

    id: int
    name: str
    region: str = ""
    paired_with: str | None = None
    color: tuple[int, int, int] = (128, 128, 128)
    foreign_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    display_name: str = ""
    nsd_tolerance_mm: float = DEFAULT_NSD_TOLERANCE_MM
    snomed_ct: SnomedConcept | None = None

    @property
    def shown_name(self) -> str:
        """The name for people."""
        return self.display_name or self.name


@dataclass(frozen=True)
class LabelScheme:
    """An ordered set of structures with ids 1 to N; 0 is background."""

    structures: tuple[Structure, ...]
    text: str = field(repr=False, compare=False, default="")

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    def __len__(self) -> int:
        return len(self.structures)

    def __getitem__(self, name: str) -> Structure:
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(self.names)
            raise LabelError(f"structure {name!r} is not in the label scheme, which has: {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Structure]:
        return {structure.name: structure for structure in self.structures}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return tuple(structure.name for structure in self.structures)

    @cached_property
    def nsd_tolerances_mm(self) -> tuple[float, ...]:
        """Tolerances of the normalised surface Dice in the order of the ids, mm."""
        return tuple(structure.nsd_tolerance_mm for structure in self.structures)

    @property
    def label_names(self) -> dict[str, int]:
        """Ids by key, in the order of the ids."""
        return {structure.name: structure.id for structure in self.structures}

    @property
    def shown_names(self) -> dict[str, int]:
        """Ids by the names for people, in the order of the ids; MONAI Label calls them ``labels``."""
        return {structure.shown_name: structure.id for structure in self.structures}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the ids and names, which give label maps their meaning."""
        identity = "\n".join(f"{s.id}\t{s.name}" for s in self.structures)
        return hashlib.sha256(identity.encode()).hexdigest()

    def ids_in(self, label_set: str) -> dict[str, tuple[int, ...]]:
        """List the ids of each structure in another label set, apart from structures that the label set lacks."""
        return {s.name: s.foreign_ids[label_set] for s in self.structures if s.foreign_ids.get(label_set)}

    def lookup_from(self, label_set: str) -> NDArray[np.uint8]:
        """Make a table from the ids of another label set to ours: ``table[foreign_map]`` is our label map.

        Returns
        -------
        (65536,) uint8, so that every uint16 label map can be looked up; ids without a structure become background.
        """
        import numpy as np  # here, because every command reads a scheme and few look up label maps

        table = np.zeros(65536, dtype=np.uint8)
        for structure in self.structures:
            for foreign in structure.foreign_ids.get(label_set, ()):
                table[foreign] = structure.id
        return table

    @classmethod
    def default(cls) -> LabelScheme:
        """Read the scheme of the paper, with 40 structures."""
        return cls.read(Path(__file__).with_name("labels.tsv"))

    @classmethod
    def read(cls, path: Path) -> LabelScheme:
        """Read a scheme from a TSV file, or from nnU-Net's ``dataset.json``, whose labels become the structures.

        Raises
        ------
        LabelError
            The file cannot be read or breaks a rule of the format; the message names the line.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise LabelError(f"label scheme {path} cannot be read as UTF-8 text: {error}") from error
        return cls.parse(_table_of_dataset(text, str(path)) if path.suffix.lower() == ".json" else text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "labels.tsv") -> LabelScheme:
        """Read a scheme from the text of a TSV; ``source`` names it in messages."""
        reader = csv.DictReader(io.StringIO(text), delimiter="\t")
        columns = reader.fieldnames or []
        if "id" not in columns or "name" not in columns:
            wanted = "tab-separated columns, id and name among them"
            raise LabelError(f"{source}: the first line must name {wanted}; found {columns}")
        rows = [(line, row) for line, row in enumerate(reader, start=2) if any(row.values())]
        structures = _with_pairs([_structure(row, columns, f"{source}, line {line}") for line, row in rows])
        _check(structures, source)
        missing = [position for position, (_, row) in enumerate(rows, start=1) if not (row.get("color") or "").strip()]
        return cls(tuple(_with_colors(structures, missing)), text)


def _structure(row: dict[str, str | None], columns: Sequence[str], where: str) -> Structure:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    if not cell("id").isdigit():
        raise LabelError(f"{where}: id must be a whole number from 1, not {cell('id')!r}")
    number = int(cell("id"))
    name = tidy(cell("name"))
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        shown, most = cell("name")[:60], MAX_NAME_LENGTH
        raise LabelError(f"{where}: name {shown!r} must have 1 to {most} characters, none of them a control character")
    key = key_of(name, f"structure_{number}")
    color = cell("color")
    if color and not _COLOR.fullmatch(color):
        raise LabelError(f"{where}: color must look like #a0b1c2, not {color!r}")
    red, green, blue = bytes.fromhex(color[1:] or "808080")
    foreign: dict[str, tuple[int, ...]] = {}
    for column in columns:
        label_set = column.removesuffix("_ids").removesuffix("_id")
        if label_set == column or not cell(column):
            continue
        try:
            ids = tuple(int(part) for part in cell(column).split(","))
        except ValueError:
            raise LabelError(f"{where}: {column} must be whole numbers with commas, not {cell(column)!r}") from None
        if min(ids) < 1 or max(ids) > 65535:
            raise LabelError(f"{where}: {column} must lie between 1 and 65535, not {cell(column)!r}")
        foreign[label_set] = ids
    return Structure(
        id=number,
        name=key,
        display_name=name if name != key else "",
        region=cell("region"),
        paired_with=cell("paired_with") or None,
        color=(red, green, blue),
        foreign_ids=foreign,
        nsd_tolerance_mm=_tolerance(cell("nsd_tolerance_mm"), where),
        snomed_ct=parse_concept(cell("snomed_ct"), cell("snomed_ct_meaning") or name, cell("laterality"), where),
    )


def _tolerance(cell: str, where: str) -> float:
    if cell and not _MILLIMETRES.fullmatch(cell):
        raise LabelError(f"{where}: nsd_tolerance_mm must be a number of millimetres such as 2.5, not {cell!r}")
    return float(cell or DEFAULT_NSD_TOLERANCE_MM)


def _with_pairs(structures: list[Structure]) -> list[Structure]:
    """Translate the names of opposite structures to keys; they may be written in either form."""
    keys = {structure.shown_name: structure.name for structure in structures}
    pairs = [tidy(structure.paired_with or "") for structure in structures]
    return [replace(s, paired_with=keys.get(pair, pair) or None) for s, pair in zip(structures, pairs, strict=True)]


def _table_of_dataset(text: str, source: str) -> str:
    """Make the TSV of a scheme from nnU-Net's ``dataset.json``."""
    try:
        labels = json.loads(text)["labels"]
        # Version 1 of nnU-Net has numbers as keys.
        pairs = [
            (name, int(value)) if not str(name).isdigit() else (str(value), int(name)) for name, value in labels.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{source}: not a dataset.json of nnU-Net that gives one number to each label ({error!r})"
        ) from error
    rows = sorted((value, tidy(name)) for name, value in pairs if value != 0 and name.casefold() not in _RESERVED)
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerows([("id", "name"), *rows])
    return table.getvalue()


def _with_colors(structures: list[Structure], missing: list[int]) -> list[Structure]:
    """Give the structures with these ids colours that differ from all others."""
    if not missing:
        return structures
    from mrseg_label.colors import distinct  # imported here: NumPy is behind it

    taken = [structure.color for structure in structures if structure.id not in missing]
    chosen = dict(zip(missing, distinct(len(missing), taken), strict=True))
    return [replace(structure, color=chosen.get(structure.id, structure.color)) for structure in structures]


def _check(structures: list[Structure], source: str) -> None:
    if not structures or len(structures) > MAX_STRUCTURES:
        raise LabelError(f"{source}: a scheme has 1 to {MAX_STRUCTURES} structures, this one has {len(structures)}")
    # Slicer fills segments by position: value v is the v-th name.
    for position, structure in enumerate(structures, start=1):
        if structure.id != position:
            wrong = f"{structure.name} has {structure.id} in place {position}"
            raise LabelError(f"{source}: ids must be 1 to N without gaps and in order; {wrong}")
    seen: dict[str, Structure] = {}
    for structure in structures:
        if structure.name.casefold() in _RESERVED:
            raise LabelError(f"{source}: the name {structure.shown_name!r} is reserved by nnU-Net; choose another one")
        first = seen.setdefault(structure.name.casefold(), structure)
        if first is not structure:
            raise LabelError(
                f"{source}: the name {structure.name!r} is used twice: {first.shown_name!r} (id {first.id}) and "
                f"{structure.shown_name!r} (id {structure.id}) differ in capitals, blanks or punctuation alone; "
                "rename one of them"
            )
    by_name = {structure.name: structure for structure in structures}
    for structure in structures:
        pair = structure.paired_with
        if pair is not None and (pair not in by_name or by_name[pair].paired_with != structure.name):
            raise LabelError(f"{source}: {structure.name} is paired with {pair!r}, which is missing or not paired back")
    check_distinct([(structure.name, structure.snomed_ct) for structure in structures], source)
    taken: dict[tuple[str, int], str] = {}
    for structure in structures:
        for label_set, ids in structure.foreign_ids.items():
            for foreign in ids:
                other = taken.setdefault((label_set, foreign), structure.name)
                if other != structure.name:
                    raise LabelError(f"{source}: {label_set} id {foreign} stands for both {other} and {structure.name}")
