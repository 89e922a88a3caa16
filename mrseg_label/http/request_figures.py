"""Figures about the requests of a server, over all of its processes, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from mrseg_label.catalog.database import watch_troubles

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by the library when it is imported
NO_ANSWER = "499"  # as nginx: the client left before there was one
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_OF_PROCESS = CollectorRegistry()
_requests = Counter(
    "mrseg_http_requests",
    "Requests that were answered, by route and status; 499: the client left before",
    ["method", "route", "status"],
    registry=_OF_PROCESS,
)
_seconds = Histogram(
    "mrseg_http_request_seconds",
    "Seconds from the head of a request to the end of its answer, without streams of events",
    ["method", "route"],
    buckets=_SECONDS,
    registry=_OF_PROCESS,
)
_troubles = Counter(
    "mrseg_database_errors",
    "Transactions that failed because the database or its disk did not work",
    registry=_OF_PROCESS,
)
watch_troubles(_troubles.inc)


class RequestCollector(Collector):
    """The figures of this process or, where they share a folder, of all processes of the server."""

    def __init__(self) -> None:
        shared = os.environ.get(FOLDER)
        self._from: CollectorRegistry | MultiProcessCollector = (
            _OF_PROCESS if shared is None else MultiProcessCollector(CollectorRegistry(), path=shared)  # type: ignore[no-untyped-call]
        )

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: the names are those of this module."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        yield from self._from.collect()


def count_request(method: str, route: str, status: int | None, seconds: float | None) -> None:
    """Count a request.

    Parameters
    ----------
    route : as a template, without what stands in the place of a parameter.
    status : None if the client left before.
    seconds : None for a stream, which lasts as long as its client likes.
    """
    known = method if method in _METHODS else "OTHER"
    _requests.labels(known, route, NO_ANSWER if status is None else str(status)).inc()
    if seconds is not None:
        _seconds.labels(known, route).observe(seconds)
