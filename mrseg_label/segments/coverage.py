"""Check that a submission judges the structures that it must judge."""

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
    """Raise :class:`LabelError` unless a submission judges a structure, and every structure that is required."""
    if not decoded.voxels:
        raise LabelError(
            "no segment of this submission is a structure of the label scheme, so the case would count as annotated "
            "although no structure was judged; keep the segments of absent structures in the list, empty, "
            "and mark a case that cannot be read as unusable"
        )
    missing = [name for name in required if name not in decoded.voxels]
    if missing:
        raise LabelError(
            f"every submission must judge {', '.join(missing)}; add the missing segments, and leave them empty "
            "if the structures are not in the image"
        )
