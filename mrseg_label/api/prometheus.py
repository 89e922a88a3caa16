"""Figures for Prometheus, read from the catalogue when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

import mrseg_label
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import listings, performance
from mrseg_label.catalog.types import JobState
from mrseg_label.reports.progress import read_progress

VERSIONS = 20  # model versions that have figures of their own, the newest


def registry(workspace: OpenedWorkspace) -> CollectorRegistry:
    """A registry of this process and this workspace."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(WorkspaceCollector(workspace))
    return made


class WorkspaceCollector(Collector):
    """Cases, jobs and model versions of a workspace."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: the catalogue is not read before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        """One reading."""
        progress = read_progress(self._workspace)
        yield InfoMetricFamily(
            "mrseg",
            "Version and current model",
            value={"version": mrseg_label.__version__, "model_version": progress.current_model},
        )
        cases = GaugeMetricFamily(
            "mrseg_cases", "Cases by state (channels that share a correction count once)", labels=["state"]
        )
        cases.add_metric(["annotated"], progress.annotated_total)
        cases.add_metric(["waiting"], progress.waiting)
        cases.add_metric(["assigned"], progress.assigned)
        cases.add_metric(["handed_out"], progress.assigned)  # deprecated: use assigned
        cases.add_metric(["awaiting_review"], progress.awaiting_review)
        cases.add_metric(["excluded"], progress.excluded)
        yield cases
        yield GaugeMetricFamily(
            "mrseg_annotated_since_round",
            "Cases annotated since the last snapshot",
            value=progress.annotated_since_round,
        )
        yield GaugeMetricFamily(
            "mrseg_round_size", "Newly annotated cases that start a round", value=progress.round_size
        )
        yield GaugeMetricFamily(
            "mrseg_round_active", "Number of the round that waits or runs, 0 for none", value=progress.round or 0
        )
        jobs = GaugeMetricFamily("mrseg_jobs", "Jobs that wait and run", labels=["queue", "state"])
        for queue, states in sorted(progress.queues.items()):
            for state in (JobState.QUEUED, JobState.RUNNING):
                jobs.add_metric([queue, str(state)], states.get(str(state), 0))
        yield jobs
        yield from self._models()

    def _models(self) -> Iterator[GaugeMetricFamily]:
        with self._catalog.read() as session:
            rows = listings.models(session, VERSIONS)
            sums = performance.sums_by_version(session, rows)
        held_out = GaugeMetricFamily("mrseg_model_held_out_dsc", "Mean DSC on held-out cases", labels=["model_version"])
        presegmentations = GaugeMetricFamily(
            "mrseg_model_draft_dsc", "Mean DSC of drafts and corrections", labels=["model_version"]
        )
        edited = GaugeMetricFamily("mrseg_model_edited_voxels", "Edited voxels per case", labels=["model_version"])
        for row in rows:
            values = sums[row.version]
            for family, value in (
                (held_out, values.held_out_dsc),
                (presegmentations, values.draft_dsc),
                (edited, values.edited_voxels),
            ):
                if value is not None:
                    family.add_metric([row.version], value)
        yield from (held_out, presegmentations, edited)
