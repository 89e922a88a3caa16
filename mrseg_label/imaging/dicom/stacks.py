"""Sort frames into stacks of one image each: by series, orientation, channel, component, echo and time point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrseg_label.imaging.dicom.frames import Frame

# Directions of one stack agree to this; other stacks of a localizer or a tilted block differ by degrees.
_SAME_DIRECTION = 0.01
SAME_PLACE_MM = 1e-2

Key = Callable[[Frame], Any]
# Attributes that may distinguish frames in the same place, tried in this order, with their meaning.
_DISTINGUISHING: tuple[tuple[str, Key], ...] = (
    ("echo time", lambda frame: None if frame.echo_time_ms is None else round(frame.echo_time_ms, 2)),
    ("time point", lambda frame: frame.acquisition),
    ("time point", lambda frame: frame.trigger),
    ("image type", lambda frame: frame.image_type),
    ("flip angle", lambda frame: frame.flip_angle),
    ("time point", lambda frame: frame.acquired_seconds),
)


@dataclass(frozen=True)
class Stack:
    """The frames of one image, unsorted.

    Attributes
    ----------
    channel : sequence type or Dixon channel.
    split : how it differs from the other stacks of its series; empty if it is the only one.
    """

    frames: tuple[Frame, ...]
    channel: str = ""
    split: str = ""

    @property
    def first(self) -> Frame:
        """The first frame, for attributes that all frames share."""
        return self.frames[0]


def stacks_of(frames: Iterable[Frame], channel_of: Callable[[Frame], str]) -> list[Stack]:
    """Sort frames into stacks, in the order of their series numbers.

    Parameters
    ----------
    channel_of : returns the sequence type or Dixon channel of a frame.
    """
    series: dict[tuple[str, str, str], list[Frame]] = {}
    for frame in frames:
        series.setdefault((frame.patient.key, frame.study, frame.series), []).append(frame)
    stacks = []
    for members in sorted(series.values(), key=lambda group: (group[0].study, group[0].number, group[0].series)):
        parts = _split(members, channel_of)
        stacks += [
            Stack(tuple(part), channel, _describe(key) if len(parts) > 1 else "") for key, channel, part in parts
        ]
    return stacks


def _split(
    frames: Sequence[Frame], channel_of: Callable[[Frame], str]
) -> list[tuple[dict[str, Any], str, list[Frame]]]:
    orientations: list[np.ndarray[Any, Any]] = []
    parts: dict[tuple[Any, ...], list[Frame]] = {}
    for frame in frames:
        key = (
            _orientation(frame, orientations),
            frame.component,
            channel_of(frame),
            frame.echo,
            frame.time_point,
            frame.b_value,
            (frame.rows, frame.columns, *(round(spacing, 4) for spacing in frame.spacing_mm)),
        )
        parts.setdefault(key, []).append(frame)
    names = ("orientation", "component", "channel", "echo", "time point", "b value", "matrix")
    found = []
    for key, members in parts.items():
        for distinguishing, part in _distinguish(members):
            found.append((dict(zip(names, key, strict=True)) | distinguishing, str(key[2]), part))
    varying = {
        name
        for name in (*names, "echo time", "image type", "flip angle")
        if len({entry[0].get(name) for entry in found}) > 1
    }
    return [({name: value for name, value in entry[0].items() if name in varying}, *entry[1:]) for entry in found]


def _distinguish(frames: list[Frame]) -> list[tuple[dict[str, Any], list[Frame]]]:
    """Split frames with different voxels in the same place, if an attribute distinguishes all of them."""
    if not _conflicts(frames):
        return [({}, frames)]
    for name, value_of in _DISTINGUISHING:
        parts: dict[Any, list[Frame]] = {}
        for frame in frames:
            parts.setdefault(value_of(frame), []).append(frame)
        places = {len({_place(frame) for frame in part}) for part in parts.values()}
        if len(parts) > 1 and len(places) == 1 and not any(_conflicts(part) for part in parts.values()):
            numbered = name in ("time point", "image type")
            return [
                ({name: number if numbered else value}, part)
                for number, (value, part) in enumerate(parts.items(), start=1)
            ]
    return [({}, frames)]  # what cannot be distinguished is refused when the stack is assembled


def _conflicts(frames: Sequence[Frame]) -> bool:
    seen: dict[tuple[int, ...], bytes] = {}
    return any(seen.setdefault(_place(frame), frame.pixels) != frame.pixels for frame in frames)


def _place(frame: Frame) -> tuple[int, ...]:
    return tuple(round(value / SAME_PLACE_MM) for value in frame.position)


def _orientation(frame: Frame, known: list[np.ndarray[Any, Any]]) -> int:
    directions = np.asarray(frame.directions)
    for index, present in enumerate(known):
        if np.abs(present - directions).max() < _SAME_DIRECTION:
            return index
    known.append(directions)
    return len(known) - 1


def _describe(key: dict[str, Any]) -> str:
    parts = []
    for name, value in key.items():
        if name == "orientation":
            value = value + 1
        parts.append(f"{name} {value}" if value != "" else f"no {name}")
    return ", ".join(parts)
