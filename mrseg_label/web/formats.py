"""How values are written on a page: moments, durations, numbers, differences."""

from __future__ import annotations

from datetime import datetime

MISSING = "–"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def date(moment: datetime) -> str:
    """Write a day, such as 7 March 2026, by the clock of the server's machine."""
    local = moment.astimezone()
    return f"{local.day} {local:%B %Y}"


def moment(value: datetime | None) -> str:
    """Write a day and a time by the clock of the server's machine."""
    if value is None:
        return MISSING
    local = value.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M}"


def duration(seconds: float | None) -> str:
    """Write a duration in its two largest units, such as 2 h 5 min."""
    if seconds is None:
        return MISSING
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s" if whole < 10 * _MINUTE else f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def hours(value: float) -> str:
    """Write a number of hours in words, such as 12 hours."""
    return f"{value:g} hour{'' if value == 1 else 's'}"


def dsc(value: float | None) -> str:
    """Write a DSC."""
    return MISSING if value is None else f"{value:.3f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign; the minus is as wide as the plus."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "\u2212")


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with separators of thousands."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def percent(fraction: float | None) -> str:
    """Write a fraction in percent."""
    return MISSING if fraction is None else f"{fraction:.0%}"


def words(name: object) -> str:
    """Write the name of a structure or a state as words."""
    return str(name).replace("_", " ")
