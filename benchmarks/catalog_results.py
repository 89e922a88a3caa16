"""Keep what ``benchmarks.catalog`` measured, and draw it over the number of examinations.

uv run python -m benchmarks.catalog_results RESULTS [PICTURE]

Prints the results as a table in Markdown, and draws the picture of docs/benchmarks.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_INK, _FAINT, _GRID, _LIMIT = "#22262b", "#7a828c", "#e4e7eb", "#b3403a"
# Colour, mark, and by how much it is drawn aside, so that the whiskers do not cover each other.
_DATABASES = {"SQLite": ("#1f6fb4", "o", 0.97), "PostgreSQL": ("#e0812b", "s", 1.03)}
# What the picture shows, with the limit at 1.6 million, ms.
_SHOWN = {
    "next case, balanced": 20,
    "next case, random": 20,
    "submission": 20,
    "/info/": 50,
    "page, all": 100,
    "page, annotated, one sequence": 100,
}


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one question, over its repetitions."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def __str__(self) -> str:
        (wall, wall_p99), (cpu, cpu_p99) = self.percentiles().values()
        return f"{wall:9.1f} ms (p99 {wall_p99:.1f})   CPU {cpu:.1f} (p99 {cpu_p99:.1f})"

    def percentiles(self) -> dict[str, list[float]]:
        """Median and 99th percentile of both."""
        taken = {"wall_ms": self.wall, "cpu_ms": self.cpu}
        return {what: np.percentile(one, [50, 99]).round(2).tolist() for what, one in taken.items()}


def save(path: Path, database: str, rows: int, costs: Mapping[str, Cost], opened_s: float, memory_mb: float) -> None:
    """Write the results of one size on one database into a file, in the place of earlier ones of the same."""
    kept = json.loads(path.read_text()) if path.is_file() else []
    new = {
        "database": database,
        "rows": rows,
        "opened_s": round(opened_s, 3),
        "memory_mb": round(memory_mb),
        "questions": {name: cost.percentiles() for name, cost in costs.items()},
    }
    kept = [one for one in kept if (one["database"], one["rows"]) != (database, rows)]
    kept = sorted([*kept, new], key=lambda one: (one["database"], one["rows"]))
    path.write_text(json.dumps(kept, indent=1) + "\n")


def table(results: Sequence[Mapping[str, Any]], what: str = "wall_ms") -> str:
    """Make a table in Markdown: a row for each question, a column for each database and size, median (99th percentile)."""
    columns = [f"{one['database']} {one['rows']:,}" for one in results]
    lines = [f"| question | {' | '.join(columns)} |", "| --- |" + " --- |" * len(results)]
    questions = list(dict.fromkeys(name for one in results for name in _questions(one)))
    for name in questions:
        found = (_questions(one).get(name) for one in results)
        cells = ("" if one is None else f"{one[what][0]:.0f} ({one[what][1]:.0f})" for one in found)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for what_else, key in (("opening the catalogue, s", "opened_s"), ("memory, MB", "memory_mb")):
        lines.append(f"| {what_else} | {' | '.join(str(one[key]) for one in results)} |")
    return "\n".join(lines)


def _questions(result: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = result["questions"]
    return found


def draw(results: Sequence[Mapping[str, Any]], path: Path, what: str = "wall_ms") -> None:
    """Draw the medians over the number of examinations, with the 99th percentiles above them, as an image of the type that the name says."""
    figure = Figure(figsize=(11.4, 6.2), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.055, 0.955, "What is asked most, from 10,000 to 1.6 million examinations", fontsize=15, color=_INK,
                fontweight="bold", va="center")  # fmt: skip
    kind = "CPU time of the process that asks" if what == "cpu_ms" else "Time until the answer"
    note = f"{kind}, ms: median, and 99th percentile above it. Red: the limit at 1.6 million."
    figure.text(0.055, 0.03, note, fontsize=9, color=_FAINT, va="center")
    panels = figure.subplots(2, 3, sharex=True, gridspec_kw={
        "left": 0.055, "right": 0.97, "top": 0.86, "bottom": 0.13, "wspace": 0.17, "hspace": 0.32})  # fmt: skip
    for axes, (name, limit) in zip(panels.ravel(), _SHOWN.items(), strict=True):
        _draw_question(axes, results, name, limit, what)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(0.975, 0.985), ncols=2, fontsize=10, frameon=False
    )
    figure.savefig(path, facecolor="white", metadata={"Date": None})


def _draw_question(axes: Axes, results: Sequence[Mapping[str, Any]], name: str, limit: int, what: str) -> None:
    top = 1.25 * limit
    for database, (color, mark, aside) in _DATABASES.items():
        points = [
            (one["rows"], *_questions(one)[name][what])
            for one in results
            if one["database"] == database and name in _questions(one)
        ]
        if points:
            rows, medians, highest = (np.array(one, dtype=float) for one in zip(*points, strict=True))
            spread = (np.zeros_like(medians), highest - medians)
            top = max(top, 1.05 * highest.max())
            axes.errorbar(
                aside * rows, medians, yerr=spread, color=color, marker=mark, label=database, capsize=3, elinewidth=1
            )
    axes.axhline(limit, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xscale="log", xlim=(7e3, 2.3e6), ylim=(0, top))
    axes.set_xticks([1e4, 1e5, 1.6e6], ["10,000", "100,000", "1.6 million"])
    axes.minorticks_off()
    axes.set_title(name, loc="left", fontsize=11, color=_INK)
    axes.tick_params(colors=_FAINT, labelsize=9, length=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def main() -> None:
    """Print the table, and draw the picture."""
    results = json.loads(Path(sys.argv[1]).read_text())
    print(table(results))
    if len(sys.argv) > 2:
        draw(results, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
