"""Wall-clock and CPU time of the stages of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time


class StageClock:
    """Wall-clock and CPU time of each stage, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to that of its stage."""
        wall, cpu = perf_counter(), process_time()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - wall, 2)
        self.cpu_seconds[name] = round(self.cpu_seconds.get(name, 0.0) + process_time() - cpu, 2)
