"""Options of an import, and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrseg_label.catalog.types import LOCAL
from mrseg_label.imaging import Geometry
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES
from mrseg_label.text import readable


class MatchIds(StrEnum):
    """How the codes of a table of participants are compared with those of the import."""

    EXACT = "exact"
    LOOSE = "loose"


@dataclass(frozen=True)
class ImportOptions:
    """How files become examinations.

    Attributes
    ----------
    pattern : pattern of paths with the fields participant, session, station and sequence, such as
        ``"{participant}/{station}_{sequence}.nii.gz"``.
    participant : participant code of every file; takes precedence over the pattern.
    csv : table of participants (columns participant, sex, age); by default ``participants.csv`` or ``.tsv``
        of an imported folder.
    match_ids : whether codes of the table that differ in leading zeros, case, blanks, hyphens or a ``sub-`` match.
    orientation : axis codes for files that give no orientation, such as ``"LPS"``.
    reference : link to files instead of copying them, if they need no conversion.
    masks : pattern of the paths of masks (:class:`mrseg_label.intake.masks.finding.MaskFinder`).
    mask_labels : file that names the values of the masks.
    licence : under which the images were received; it stands in the data-set cards of models.
    cohort : name of the data set, which evaluations tell apart.
    evaluation_only : keep the images for evaluation: no reader gets them and no model learns from them.
    propagate : whether a mask that is drawn on one channel of a new acquisition is used for its other channels.
    allow_label_maps : import files that seem to be label maps as images.
    dry_run : report what would happen and store nothing.
    primary_sequences : which channel of an acquisition is pre-segmented and opened, best first.
    actor : name in the audit trail.
    threads : number of images prepared at the same time.
    """

    pattern: str | None = None
    participant: str | None = None
    csv: Path | None = None
    match_ids: MatchIds = MatchIds.EXACT
    orientation: str | None = None
    reference: bool = False
    masks: str | None = None
    mask_labels: Path | None = None
    licence: str | None = None
    cohort: str | None = None
    evaluation_only: bool = False
    propagate: bool = True
    allow_label_maps: bool = False
    dry_run: bool = False
    primary_sequences: tuple[str, ...] = PRIMARY_SEQUENCES
    actor: str = LOCAL
    threads: int = 2


@dataclass
class Accepted:
    """An image that is an examination now (or would be, in a dry run)."""

    id: str
    source: str
    stored: str
    participant: str
    station: str
    sequence: str
    acquisition_id: str
    geometry: Geometry
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The object that ``import --json`` prints."""
        return {
            "id": self.id,
            "source": self.source,
            "stored": self.stored,
            "participant": self.participant,
            "station": self.station,
            "sequence": self.sequence,
            "acquisition": self.acquisition_id,
            "group": self.acquisition_id,  # deprecated: the same as acquisition
            "shape": list(self.geometry.shape),
            "spacing_mm": list(self.geometry.spacing_mm),
            "affine": self.geometry.affine.tolist(),
            "axcodes": self.geometry.axcodes,
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Refused:
    """A file or a line of a table that was not imported, and why; both are text that can be printed."""

    source: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", readable(self.source))
        object.__setattr__(self, "reason", readable(self.reason))


@dataclass(frozen=True)
class Updated:
    """An image that was in the catalogue already, of which this import filled in what was missing.

    Attributes
    ----------
    changes : by field, the value before and after.
    """

    source: str
    examination: str
    changes: dict[str, tuple[Any, Any]]
    notes: list[str]


@dataclass(frozen=True)
class MatchedRow:
    """A row of a table that was taken for a participant whose code is spelt differently."""

    source: str
    row: str
    participant: str


@dataclass(frozen=True)
class UnmatchedRow:
    """A row of a table that is of no participant.

    Attributes
    ----------
    likely : codes of participants that it may stand for.
    unique : whether only one does, and no other row does.
    """

    source: str
    row: str
    likely: tuple[str, ...] = ()
    unique: bool = False


@dataclass
class ImportReport:
    """What an import did.

    Attributes
    ----------
    passed_over : files beside DICOM images that are not images, and remarks on masks; not failures.
    masks : number of masks that were enqueued.
    unchanged : number of images that were in the catalogue already.
    updated : images that were in the catalogue already, of which something was filled in.
    matched_rows, unmatched_rows : rows of tables of participants that were taken for, or are of, no participant as spelt.
    participants_without_row : number of participants of the import that no row of the tables is about.
    """

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    passed_over: list[Refused] = field(default_factory=list)
    masks: int = 0
    unchanged: int = 0
    updated: list[Updated] = field(default_factory=list)
    matched_rows: list[MatchedRow] = field(default_factory=list)
    unmatched_rows: list[UnmatchedRow] = field(default_factory=list)
    participants_without_row: int = 0
    dry_run: bool = False

    def refuse(self, source: str, reason: str) -> None:
        """Add a refusal."""
        self.refused.append(Refused(source, reason))

    def pass_over(self, source: str, reason: str) -> None:
        """Add something that the report should mention and that is no failure."""
        self.passed_over.append(Refused(source, reason))

    def to_json(self) -> dict[str, Any]:
        """The object that ``import --json`` prints."""
        return {
            "accepted": [entry.to_json() for entry in self.accepted],
            "refused": [{"source": entry.source, "reason": entry.reason} for entry in self.refused],
            "unchanged": self.unchanged,
            "passed_over": [{"source": entry.source, "reason": entry.reason} for entry in self.passed_over],
            **({"updated": [asdict(entry) for entry in self.updated]} if self.updated else {}),
            **({"masks": self.masks} if self.masks else {}),
            **({"matched_rows": [asdict(entry) for entry in self.matched_rows]} if self.matched_rows else {}),
            **({"unmatched_rows": [asdict(entry) for entry in self.unmatched_rows]} if self.unmatched_rows else {}),
            **({"participants_without_row": self.participants_without_row} if self.participants_without_row else {}),
            **({"dry_run": True} if self.dry_run else {}),
        }
