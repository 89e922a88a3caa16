"""Time in UTC, always with its time zone."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def start_of_day(moment: datetime) -> datetime:
    """Return the beginning of the day of a time, for whoever may know no more of it."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def iso(moment: datetime | None) -> str | None:
    """Format a time as ISO 8601 in UTC with a trailing Z; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
