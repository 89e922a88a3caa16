"""Figures for Prometheus about the operation of a server: what alerts are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import JobState, RoundState
from mrseg_label.reports.documents.jobs import WorkerState
from mrseg_label.reports.operation import read_operation


def figures_of_operation(workspace: OpenedWorkspace) -> Iterator[GaugeMetricFamily]:
    """Read jobs by kind, ready drafts, workers, servers, rounds, disk and the newest backup."""
    found = read_operation(workspace)
    kinds = GaugeMetricFamily("mrseg_jobs_of_kind", "Queued, running and failed jobs", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        "mrseg_job_oldest_age_seconds",
        "Seconds since the oldest queued or running job was enqueued",
        labels=["kind", "state"],
    )
    for count in found.jobs:
        kinds.add_metric([count.kind, str(count.state)], count.jobs)
        if count.state is not JobState.FAILED:
            oldest.add_metric([count.kind, str(count.state)], (found.moment - count.oldest).total_seconds())
    yield kinds
    yield oldest
    yield GaugeMetricFamily(
        "mrseg_drafts_ready", "Cases that wait for a reader and have a draft", value=found.drafts_ready
    )
    workers = GaugeMetricFamily("mrseg_workers", "Worker processes; lost: without a sign of life", labels=["state"])
    alive = GaugeMetricFamily(
        "mrseg_worker_last_seen_timestamp_seconds",
        "When a worker said last that it is alive",
        labels=["machine", "process"],
    )
    states: Counter[WorkerState] = Counter()
    for worker in found.workers:
        states[worker.state] += 1
        if worker.seen is not None:
            alive.add_metric([worker.machine, str(worker.process or "")], worker.seen.timestamp())
    for state in WorkerState:
        workers.add_metric([str(state)], states[state])
    yield workers
    yield alive
    servers = GaugeMetricFamily(
        "mrseg_server_last_seen_timestamp_seconds",
        "When a server wrote last that it is alive; every minute",
        labels=["server"],
    )
    for name, seen in found.servers.items():
        servers.add_metric([name], seen.timestamp())
    yield servers
    rounds = GaugeMetricFamily("mrseg_rounds", "Rounds by state", labels=["state"])
    for round_state in RoundState:
        rounds.add_metric([str(round_state)], found.rounds.get(round_state, 0))
    yield rounds
    yield GaugeMetricFamily("mrseg_disk_free_bytes", "Free space on the disk of the workspace", value=found.disk_free)
    yield GaugeMetricFamily("mrseg_disk_size_bytes", "Size of the disk of the workspace", value=found.disk_size)
    # Zero where there is none: an alert then sees a very old one.
    newest = 0.0 if found.last_backup is None else found.last_backup.timestamp()
    yield GaugeMetricFamily(
        "mrseg_last_backup_timestamp_seconds", "When the newest backup was complete; 0: there is none", value=newest
    )
