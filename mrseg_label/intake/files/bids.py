"""Images in a BIDS data set: participant, session, station and sequence from the entities of the file name.

References
----------
Gorgolewski KJ, et al. The brain imaging data structure. Sci Data 2016;3:160044.
https://doi.org/10.1038/sdata.2016.44; https://bids-specification.readthedocs.io
"""

from __future__ import annotations

import re
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.names import strip_suffix
from mrseg_label.intake.sequences import SEQUENCES, canonical_sequence

DESCRIPTION = "dataset_description.json"
# Derived data (masks, maps), and what is no raw image of a participant.
_NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli", "phenotype")
_ENTITY = re.compile(r"([a-zA-Z]+)-([^_-]+)")


def in_data_set(folder: Path, known: dict[Path, bool]) -> bool:
    """Whether a folder lies in a BIDS data set; ``known`` caches the answers of one import."""
    if folder not in known:
        described = (folder / DESCRIPTION).is_file()
        known[folder] = described or (folder != folder.parent and in_data_set(folder.parent, known))
    return known[folder]


def is_derived(found: FoundFile) -> bool:
    """Whether a file lies, below the imported folder, in a folder that BIDS reserves for other than raw images."""
    return any(part in _NOT_RAW for part in found.relative.parts[:-1])


def parse_entities(found: FoundFile) -> dict[str, str]:
    """Read participant (``sub-...``, as in participants.tsv), session, station and sequence from a file name.

    ``chunk`` is the station (in BIDS: a part of the body or field of view). Session and run separate
    acquisitions. The sequence is the suffix, or ``acq`` where that names one (Dixon channels), or both
    together (``acq-fs`` with ``T1w``).

    Raises
    ------
    InvalidInput
        No ``sub`` entity, or a phase, real or imaginary image.
    """
    *parts, suffix = strip_suffix(found.path.name).split("_")
    entities = {match[1]: match[2] for match in map(_ENTITY.fullmatch, parts) if match}
    if "sub" not in entities:
        raise InvalidInput("the name has no sub-<label>, which BIDS requires; rename the file, or give --pattern")
    if entities.get("part") in ("phase", "imag", "real"):
        raise InvalidInput(f"part-{entities['part']}: only magnitude images are imported")
    session = " ".join(f"{name}-{entities[name]}" for name in ("ses", "run") if name in entities)
    return {
        "participant": f"sub-{entities['sub']}",
        "session": session,
        "station": entities.get("chunk", ""),
        "sequence": _sequence(suffix, entities),
    }


def _sequence(suffix: str, entities: dict[str, str]) -> str:
    acquisition = entities.get("acq", "")
    choices = (f"{suffix}{acquisition}", acquisition, suffix)
    name = next((name for name in map(canonical_sequence, choices) if name in SEQUENCES), suffix)
    others = [f"{entity}-{entities[entity]}" for entity in ("echo", "inv", "flip") if entity in entities]
    return " ".join([name, *others])
