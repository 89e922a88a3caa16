"""Helpers of the benchmarks: CPU time including child processes, and the result line."""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
from collections.abc import Callable, Sequence


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    # Not os.times, whose resolution of 10 ms is too coarse for the metrics.
    usages = [resource.getrusage(scope) for scope in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure_alternately(ours: Callable[[], object], stock: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Measure two functions alternately.

    Returns
    -------
    Median CPU seconds of ours and of the stock tool.
    """
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    for number in range(repeats):
        for name, call in (("ours", ours), ("stock", stock)):
            before = cpu_seconds()
            call()
            seconds[name].append(cpu_seconds() - before)
            print(f"{name} {number + 1}/{repeats}: {seconds[name][-1]:.3f} s of CPU", file=sys.stderr)
    return statistics.median(seconds["ours"]), statistics.median(seconds["stock"])


def parse_quick(description: str | None, arguments: Sequence[str] | None = None) -> bool:
    """Parse the command line that all benchmarks share; return whether ``--quick`` was given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    quick: bool = parser.parse_args(arguments).quick
    return quick


def print_result(name: str, stock_tool: str, ours: float, stock: float) -> None:
    """Print the result as one line."""
    print(f"{name}: {stock / ours:.1f}x against {stock_tool} (ours {ours:.3g} s, stock {stock:.3g} s)")
