"""Draw the floors of the code and its data flow, from the import contract in ``pyproject.toml``.

    uv run python docs/draw_architecture.py            # write both pictures
    uv run python docs/draw_architecture.py --check    # exit with 1 if one of them is out of date

The floors and their rooms are those of the contract that ``lint-imports`` checks, and the text in a room is the first
line of its docstring, so the pictures cannot contradict the code.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FLOORS = "architecture-floors.svg"
DATA_FLOW = "architecture-data-flow.svg"


@dataclass(frozen=True)
class Step:
    """A step of the loop.

    Attributes
    ----------
    work : what it does with a case.
    trigger : who or what starts it.
    result : what it stores.
    enqueues_next : whether it starts the next step by enqueueing a job.
    """

    room: str
    work: str
    trigger: str
    result: str
    enqueues_next: bool


# The loop, in the order of the data.
STEPS = (
    Step("intake", "reads image files and stores them", "import or upload", "examination", True),
    Step("presegmentation", "makes a draft with the current model", "worker", "pre-segmentation", False),
    Step("worklist", "assigns a case to a reader", "Slicer: Next Sample", "assignment", False),
    Step("annotation", "checks and stores the submitted mask", "Slicer: Submit Label", "annotation", True),
    Step("rounds", "trains and evaluates a model", "worker", "round", False),
    Step("registry", "promotes the model if it is better", "worker or admin", "model version", True),
)
# Where a step stores its rows and its files.
STORES = (
    ("catalog", "SQL is the truth: a row for everything that changes"),
    ("workspace", "files are immutable: temporary name, sync, rename, then the row is committed"),
)

WIDTH = 960
MARGIN = 20
# Upper bound of a character's width relative to the font size: sans-serif; bold or monospaced.
PLAIN, WIDE = 0.54, 0.62

# The picture has a background of its own in both themes, so that it is legible wherever it is embedded.
STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2733 }
.name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-weight: 600 }
.title { font-weight: 600 }
.note { fill: #56616f }
.card { fill: #f6f7f9; stroke: #d3d8df }
.floor { fill: #e9edf2 }
.room { fill: #ffffff; stroke: #b9c2cd }
.above { fill: #e3ecfa; stroke: #8fb0df }
.store { fill: #eaf3ea; stroke: #93bd93 }
.line { stroke: #3f6fb5; stroke-width: 2; fill: none }
.tip { fill: #3f6fb5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6eaf0 }
.note { fill: #a9b4c2 }
.card { fill: #171b21; stroke: #333b46 }
.floor { fill: #20262e }
.room { fill: #2b333d; stroke: #4a5665 }
.above { fill: #22344f; stroke: #4a6ea3 }
.store { fill: #22392a; stroke: #4c7d58 }
.line { stroke: #7da7e6 }
.tip { fill: #7da7e6 }
}
"""


@dataclass(frozen=True)
class Room:
    """A package or a module of the product, with the first line of its docstring."""

    name: str
    purpose: str


@dataclass(frozen=True)
class Floor:
    """Rooms side by side; ``joined`` where the contract lets them import each other."""

    rooms: tuple[Room, ...]
    joined: bool


def contract(pyproject: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the package of the import contract for the rooms, and its layers from the top."""
    layered = [entry for entry in pyproject["tool"]["importlinter"]["contracts"] if entry["type"] == "layers"]
    found = [entry for entry in layered if "." not in entry["containers"][0]]  # the others order one room inside
    if len(found) != 1 or len(found[0]["containers"]) != 1:
        sys.exit("pyproject.toml: there must be one import contract of type layers for the rooms of one package")
    return found[0]["containers"][0], found[0]["layers"]


def purpose(package: Path, name: str) -> str | None:
    """Return the first line of a room's docstring without mark-up, or None where there is no such room."""
    candidates = (package / name / "__init__.py", package / f"{name}.py")
    source = next((path for path in candidates if path.is_file()), None)
    if source is None:
        return None
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
    if not docstring:
        sys.exit(f"{source.relative_to(ROOT)}: the docstring is missing; describe the room in its first line")
    line = docstring.splitlines()[0]
    line = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", line)
    return line.replace("`", "").rstrip(".")


def floors(pyproject: dict[str, Any]) -> list[Floor]:
    """Return the floors from the top: the app and the MONAI Label side, then the layers of the contract."""
    container, layers = contract(pyproject)
    sides = [name for name in pyproject["tool"]["importlinter"]["root_packages"] if name != container]
    found = [
        Floor((Room("apps/mrseg", purpose(ROOT / "apps" / "mrseg", "main") or ""),), False),
        *(Floor((Room(f"lib/{side}", purpose(ROOT / "lib", side) or ""),), False) for side in sides),
    ]
    for layer in layers:
        rooms = []
        for written in re.split(r"[|:]", layer):
            name = written.strip().strip("()").strip()
            described = purpose(ROOT / container, name)
            if described is not None:
                rooms.append(Room(name, described))
            elif "(" not in written:
                sys.exit(f"pyproject.toml: the import contract names {container}.{name}, which does not exist")
        if rooms:
            found.append(Floor(tuple(rooms), ":" in layer))
    return found


def text(x: float, y: float, content: str, size: float, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text with its baseline at ``y``."""
    of_kind = f' class="{kind}"' if kind else ""
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{of_kind}{anchored}>{escape(content)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, radius: float = 6) -> str:
    """Return a rectangle with round corners."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" class="{kind}"/>'


def arrow(points: Sequence[tuple[float, float]]) -> str:
    """Return a line through points with an arrowhead at the last one, which it reaches along one of the axes."""
    (x0, y0), (x, y) = points[-2:]
    length, half = 9.0, 5.0
    if x0 == x:
        back = y - length if y > y0 else y + length
        tip = f"{x:g},{y:g} {x - half:g},{back:g} {x + half:g},{back:g}"
        end = (x, back)
    else:
        back = x - length if x > x0 else x + length
        tip = f"{x:g},{y:g} {back:g},{y - half:g} {back:g},{y + half:g}"
        end = (back, y)
    way = " L".join(f"{a:g} {b:g}" for a, b in [*points[:-1], end])
    return f'<path d="M{way}" class="line"/><polygon points="{tip}" class="tip"/>'


def wrapped(content: str, width: float, size: float, wide: bool = False) -> list[str]:
    """Break text into lines that are at most ``width`` wide."""
    return textwrap.wrap(content, max(8, int(width / (size * (WIDE if wide else PLAIN)))), break_on_hyphens=False)


def picture(title: str, described: str, height: float, parts: Sequence[str]) -> str:
    """Return a complete SVG file."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
        ' role="img" aria-labelledby="title description">',
        "<!-- made by docs/draw_architecture.py; do not edit -->",
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(described)}</desc>',
        f"<style>{STYLE}</style>",
        box(0.5, 0.5, WIDTH - 1, height - 1, "card", 10),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def rows_of(rooms: Sequence[Room]) -> Iterator[Sequence[Room]]:
    """Yield the rooms of a floor in rows of at most four, as even as possible."""
    count = -(-len(rooms) // 4)
    length = -(-len(rooms) // count)
    for start in range(0, len(rooms), length):
        yield rooms[start : start + length]


def draw_floors(house: Sequence[Floor]) -> str:
    """Draw the floors from the top, each a band with its rooms."""
    left, right, gap, inset = MARGIN + 34, WIDTH - MARGIN, 8.0, 8.0
    size, line = 11.5, 15.0
    parts = [text(MARGIN, 34, "Floors and imports", 18, "title")]
    parts.append(text(right, 34, "a room imports only rooms on the floors below it", 12.5, "note", "end"))
    top = y = 52.0
    for number, floor in enumerate(house):
        inside: list[str] = []
        bottom = y + inset
        for rooms in rows_of(floor.rooms):
            width = (right - left - 2 * inset - gap * (len(rooms) - 1)) / len(rooms)
            purposes = [wrapped(room.purpose, width - 20, size) for room in rooms]
            height = 30 + line * max(map(len, purposes)) + 6
            for place, (room, lines) in enumerate(zip(rooms, purposes, strict=True)):
                x = left + inset + place * (width + gap)
                inside.append(box(x, bottom, width, height, "above" if "/" in room.name else "room"))
                inside.append(text(x + 10, bottom + 20, room.name, 13.5, "name"))
                inside += [text(x + 10, bottom + 38 + k * line, part, size, "note") for k, part in enumerate(lines)]
            bottom += height + gap
        if len(floor.rooms) > 1:
            rule = "these may import each other" if floor.joined else "these do not import each other"
            inside.append(text(right - inset, bottom + 5, rule, 10.5, "note", "end"))
            bottom += 13
        bottom += inset - gap
        parts += [box(left, y, right - left, bottom - y, "floor", 8), *inside]
        parts.append(text(MARGIN + 6, (y + bottom) / 2 + 4, str(len(house) - number), 12, "note", "middle"))
        y = bottom + 8
    parts.append(arrow([(MARGIN + 22, top), (MARGIN + 22, y - 8)]))
    rooms_named = "; ".join(", ".join(room.name for room in floor.rooms) for floor in house)
    return picture("The floors of mrseg-label", f"From the top: {rooms_named}.", y + 12, parts)


def draw_data_flow(house: Sequence[Floor]) -> str:
    """Draw the loop from an image to the next draft, and where each step stores its result."""
    known = {room.name for floor in house for room in floor.rooms}
    missing = [name for name in [*(step.room for step in STEPS), *(name for name, _ in STORES)] if name not in known]
    if missing:
        sys.exit(f"docs/draw_architecture.py: the import contract has no room named {', '.join(missing)}")
    gap, size, line = 32.0, 11.0, 14.5
    width = (WIDTH - 2 * MARGIN - gap * (len(STEPS) - 1)) / len(STEPS)
    top, height = 118.0, 118.0
    bottom = top + height
    lefts = [MARGIN + place * (width + gap) for place in range(len(STEPS))]
    centres = [left + width / 2 for left in lefts]
    parts = [
        text(MARGIN, 34, "One data flow, in one direction", 18, "title"),
        text(WIDTH - MARGIN, 34, "job: enqueued in the transaction of the previous step", 12.5, "note", "end"),
        text(centres[0], top - 40, "image", 12, "", "middle"),
        arrow([(centres[0], top - 32), (centres[0], top)]),
    ]
    # The way back: the promoted model makes the next drafts.
    turn, target = top - 44, centres[1]
    parts.append(arrow([(centres[-1], top), (centres[-1], turn), (target, turn), (target, top)]))
    parts.append(
        text((target + centres[-1]) / 2, turn - 8, "job: the promoted model makes the next drafts", 12, "", "middle")
    )
    for place, (step, x) in enumerate(zip(STEPS, lefts, strict=True)):
        parts.append(box(x, top, width, height, "room"))
        parts.append(text(x + 8, top + 22, step.room, 12, "name"))
        lines = wrapped(step.work, width - 16, size)
        parts += [text(x + 8, top + 42 + k * line, part, size, "note") for k, part in enumerate(lines)]
        parts.append(text(x + 8, bottom - 10, step.trigger, size))
        if place + 1 < len(STEPS):
            parts.append(arrow([(x + width, top + height / 2), (x + width + gap, top + height / 2)]))
            if step.enqueues_next:
                parts.append(text(x + width + gap / 2 - 2, top + height / 2 - 7, "job", size, "", "middle"))
        parts.append(arrow([(x + 22, bottom), (x + 22, bottom + 50)]))
        parts.append(text(x + 31, bottom + 24, step.result, size))
    y = bottom + 50
    for name, kept in STORES:
        parts.append(box(MARGIN, y, WIDTH - 2 * MARGIN, 34, "store"))
        parts.append(text(MARGIN + 12, y + 22, name, 13, "name"))
        parts.append(text(MARGIN + 110, y + 22, kept, 12, "note"))
        y += 42
    described = f"{' -> '.join(step.room for step in STEPS)} -> presegmentation of the next case"
    return picture("The data flow of mrseg-label", f"image -> {described}.", y + 12, parts)


def pictures() -> dict[str, str]:
    """Return file name and content of both pictures."""
    house = floors(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    return {FLOORS: draw_floors(house), DATA_FLOW: draw_data_flow(house)}


def main() -> None:
    """Write the pictures, or compare them with the files."""
    parser = argparse.ArgumentParser(description="Draw the architecture from the import contract.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a picture is out of date")
    check = parser.parse_args().check
    stale = []
    for name, content in pictures().items():
        path = ROOT / "docs" / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            stale.append(f"docs/{name}")
            if not check:
                path.write_text(content, encoding="utf-8")
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run: uv run python docs/draw_architecture.py")


if __name__ == "__main__":
    main()
