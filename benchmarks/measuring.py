"""Helpers of the benchmarks: CPU time including child processes, and the result line."""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Result = TypeVar("Result")


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
    _, seconds = medians_in_turn({"ours": ours, "stock": stock}, repeats)
    return seconds["ours"], seconds["stock"]


def medians_in_turn(
    calls: Mapping[str, Callable[[], Result]], repeats: int, own_seconds: Callable[[str], float | None] = lambda _: None
) -> tuple[dict[str, Result], dict[str, float]]:
    """Measure several functions in turn.

    Parameters
    ----------
    own_seconds : gives the CPU seconds of a call that just ended by its name, where they cannot be told from here; otherwise None.

    Returns
    -------
    What each returned last, and their median CPU seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Result] = {}
    for number in range(repeats):
        for name, call in calls.items():
            before = cpu_seconds()
            results[name] = call()
            taken = own_seconds(name)
            seconds[name].append(cpu_seconds() - before if taken is None else taken)
            print(f"{name} {number + 1}/{repeats}: {seconds[name][-1]:.3f} s of CPU", file=sys.stderr)
    return results, {name: statistics.median(values) for name, values in seconds.items()}


def parse_quick(description: str | None, arguments: Sequence[str] | None = None) -> bool:
    """Parse the command line that all benchmarks share; return whether ``--quick`` was given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    quick: bool = parser.parse_args(arguments).quick
    return quick


def print_result(name: str, stock_tool: str, ours: float, stock: float) -> None:
    """Print the result as one line."""
    print(f"{name}: {stock / ours:.1f}x against {stock_tool} (ours {ours:.3g} s, stock {stock:.3g} s)")
