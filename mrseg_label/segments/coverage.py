"""Which structures a submission must judge, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence

from mrseg_label.errors import ConfigurationError, LabelError
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import Decoded


def required_structures(scheme: LabelScheme, setting: str) -> tuple[str, ...]:
    """Parse REQUIRED_STRUCTURES: names separated by commas, or ``all``; returned in the order of the ids.

    Raises
    ------
    ConfigurationError
        A name in the setting is not in the label scheme.
    """
    if setting.strip().casefold() == "all":
        return scheme.names
    wanted = {part.strip() for part in setting.split(",") if part.strip()}
    unknown = sorted(wanted - set(scheme.names))
    if unknown:
        raise ConfigurationError(
            f"REQUIRED_STRUCTURES names structures that are not in the label scheme: {', '.join(unknown)}"
        )
    return tuple(name for name in scheme.names if name in wanted)


def check_coverage(decoded: Decoded, required: Sequence[str]) -> None:
    """Raise :class:`LabelError` where a submission judges no structure, or not all that it must."""
    if not decoded.voxels:
        raise LabelError(
            "no segment of this submission is a structure of the label scheme, so it would count as annotated without "
            "judging anything: keep the segments of structures that are not in the image in the list, empty; "
            "mark the case as unusable if it cannot be read"
        )
    missing = [name for name in required if name not in decoded.voxels]
    if missing:
        raise LabelError(
            f"every submission must judge {', '.join(missing)}: add the missing segment, and leave it empty "
            "where the structure is not in the image"
        )
