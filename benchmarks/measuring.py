"""What the benchmarks share: CPU seconds with child processes, and the last line."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def interleaved(ours: Callable[[], object], stock: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median CPU seconds of both, measured in turn."""
    taken: dict[str, list[float]] = {"ours": [], "stock": []}
    for number in range(repeats):
        for name, call in (("ours", ours), ("stock", stock)):
            before = cpu_seconds()
            call()
            taken[name].append(cpu_seconds() - before)
            print(f"{name} {number + 1}/{repeats}: {taken[name][-1]:.3f} s of CPU", file=sys.stderr)
    return statistics.median(taken["ours"]), statistics.median(taken["stock"])


def quick_wanted(description: str | None, arguments: Sequence[str] | None = None) -> bool:
    """Read the command line that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    quick: bool = parser.parse_args(arguments).quick
    return quick


def last_line(name: str, stock_tool: str, ours: float, stock: float) -> None:
    """Print the one line that counts."""
    print(f"{name}: {stock / ours:.1f}x against {stock_tool} (ours {ours:.3g} s, stock {stock:.3g} s)")
