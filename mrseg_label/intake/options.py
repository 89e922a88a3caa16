"""What an import is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.imaging import Geometry
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES


@dataclass(frozen=True)
class ImportOptions:
    """How files become examinations.

    Attributes
    ----------
    pattern : where participant, station and sequence stand in a path, such as
        ``"{participant}/{station}_{sequence}.nii.gz"``.
    participant : the participant of every file; wins over the pattern.
    csv : table of participants (columns participant, sex, age); by default ``participants.csv`` or ``.tsv``
        of an imported folder.
    orientation : axis codes for files that give none, such as ``"LPS"``.
    reference : refer to files where they lie, as far as they need no conversion.
    masks : where the mask of an image lies (:class:`mrseg_label.intake.masks.MaskFinder`).
    mask_labels : what its values stand for.
    dry_run : say what would happen and store nothing.
    primary_sequences : which channel of an acquisition is drafted on and opened, best first.
    actor : who imports, for the audit trail.
    threads : images read at the same time.
    """

    pattern: str | None = None
    participant: str | None = None
    csv: Path | None = None
    orientation: str | None = None
    reference: bool = False
    masks: str | None = None
    mask_labels: Path | None = None
    dry_run: bool = False
    primary_sequences: tuple[str, ...] = PRIMARY_SEQUENCES
    actor: str = "local"
    threads: int = 2


@dataclass
class Accepted:
    """An image that is now an examination (or would be, in a dry run)."""

    id: str
    source: str
    stored: str
    participant: str
    station: str
    sequence: str
    group: str
    geometry: Geometry
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "id": self.id,
            "source": self.source,
            "stored": self.stored,
            "participant": self.participant,
            "station": self.station,
            "sequence": self.sequence,
            "group": self.group,
            "shape": list(self.geometry.shape),
            "spacing_mm": list(self.geometry.spacing_mm),
            "affine": self.geometry.affine.tolist(),
            "axcodes": self.geometry.axcodes,
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Refused:
    """A file or a line of a table that did not come in, and why."""

    source: str
    reason: str


@dataclass
class ImportReport:
    """What an import did."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    passed_over: list[Refused] = field(default_factory=list)
    masks: int = 0
    unchanged: int = 0
    dry_run: bool = False

    def refuse(self, source: str, reason: str) -> None:
        """Note a refusal."""
        self.refused.append(Refused(source, reason))

    def pass_over(self, source: str, reason: str) -> None:
        """Note what lay beside DICOM images and is none: worth a word, no failure."""
        self.passed_over.append(Refused(source, reason))

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "accepted": [entry.to_json() for entry in self.accepted],
            "refused": [{"source": entry.source, "reason": entry.reason} for entry in self.refused],
            "unchanged": self.unchanged,
            **(
                {"passed_over": [{"source": entry.source, "reason": entry.reason} for entry in self.passed_over]}
                if self.passed_over
                else {}
            ),
            **({"masks": self.masks} if self.masks else {}),
            **({"dry_run": True} if self.dry_run else {}),
        }
