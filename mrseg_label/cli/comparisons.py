"""What the command line says of a comparison that a round has stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_comparison(found: Mapping[str, Any] | None) -> str | None:
    """Describe the comparison on which a promotion was decided; None if there was none."""
    difference = (found or {}).get("difference") or {}
    if found is None or difference.get("mean") is None:
        return None
    text = f"{difference['mean']:+.3f} against {found['compared_with']} over {difference['participants']} participants"
    if difference["low"] is not None:
        text += f", 95 % interval {difference['low']:+.3f} to {difference['high']:+.3f}, p = {difference['p']:.2g}"
    if found.get("draft_advantage"):
        text += f", without the advantage of drafts {found['corrected']['mean']:+.3f}"
    groups = ", ".join(f"{name} {one['mean']:+.3f}" for name, one in found["groups"].items() if one["mean"] is not None)
    return f"{text}{'; uncertain' if found['uncertain'] else ''}; {groups}"
