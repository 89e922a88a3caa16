"""Figures for Prometheus, read from the catalogue at every scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

import mrseg_label
from mrseg_label.api.prometheus_operation import figures_of_operation
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import MrsegError
from mrseg_label.http.request_figures import RequestCollector
from mrseg_label.reports.performance import read_performance
from mrseg_label.reports.progress import read_progress
from mrseg_label.scoring import MEAN_OF_CASES

MAX_VERSIONS = 20  # the newest model versions have figures of their own
_OF_MODELS = {
    "mrseg_model_held_out_dsc": f"Mean DSC on the held-out cases that the version was evaluated on: {MEAN_OF_CASES}",
    "mrseg_model_held_out_cases": "Number of cases that mrseg_model_held_out_dsc is over",
    "mrseg_model_held_out_false_positives": "Structures found in held-out cases that do not have them",
    "mrseg_model_held_out_common_dsc": "The same as mrseg_model_held_out_dsc over the cases that all versions have in common",
    "mrseg_model_held_out_common_cases": "Number of cases that mrseg_model_held_out_common_dsc is over",
    "mrseg_model_draft_dsc": f"Mean DSC of pre-segmentations and the annotations made from them: {MEAN_OF_CASES}",
    "mrseg_model_draft_cases": "Number of cases that mrseg_model_draft_dsc is over",
    "mrseg_model_edited_voxels": "Edited voxels per case, mean over the cases annotated from the version's pre-segmentations",
    "mrseg_model_edited_cases": "Number of cases that mrseg_model_edited_voxels is over",
}


def registry(workspace: OpenedWorkspace) -> CollectorRegistry:
    """Return a registry with the figures of this process and of a workspace."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(RequestCollector())
    made.register(WorkspaceCollector(workspace))
    return made


class WorkspaceCollector(Collector):
    """Cases, jobs and model versions of a workspace."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe nothing, so that the catalogue is not read before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        """Read the figures; while the database does not work, that it does not is the only one."""
        answers = GaugeMetricFamily("mrseg_database_up", "Whether the database answers: 1, or 0")
        try:
            found = [*self._read(), *figures_of_operation(self._workspace)]
        except (MrsegError, OSError):
            found = []
        answers.add_metric([], float(bool(found)))
        yield answers
        yield from found

    def _read(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        progress = read_progress(self._workspace)
        yield InfoMetricFamily(
            "mrseg",
            "Version of the program and current model version",
            value={"version": mrseg_label.__version__, "model_version": progress.current_model},
        )
        cases = GaugeMetricFamily(
            "mrseg_cases", "Cases by state; the channels of an acquisition count once", labels=["state"]
        )
        cases.add_metric(["annotated"], progress.annotated_total)
        cases.add_metric(["waiting"], progress.waiting)
        cases.add_metric(["assigned"], progress.assigned)
        cases.add_metric(["handed_out"], progress.assigned)  # deprecated: the same as assigned
        cases.add_metric(["awaiting_review"], progress.awaiting_review)
        cases.add_metric(["excluded"], progress.excluded)
        yield cases
        yield GaugeMetricFamily(
            "mrseg_annotations_awaiting_review",
            "Annotations that await review; a case may have several",
            value=progress.annotations_awaiting_review,
        )
        yield GaugeMetricFamily(
            "mrseg_annotated_since_round",
            "Cases annotated since the snapshot of the last round",
            value=progress.annotated_since_round,
        )
        yield GaugeMetricFamily(
            "mrseg_round_size", "Newly annotated cases that start a round", value=progress.round_size
        )
        yield GaugeMetricFamily(
            "mrseg_round_active", "Number of the round that is queued or running, 0 for none", value=progress.round or 0
        )
        jobs = GaugeMetricFamily("mrseg_jobs", "Queued and running jobs", labels=["queue", "state"])
        for queue, states in sorted(progress.queues.items()):
            for state in (JobState.QUEUED, JobState.RUNNING):
                jobs.add_metric([queue, str(state)], states.get(str(state), 0))
        yield jobs
        yield from self._models()

    def _models(self) -> Iterator[GaugeMetricFamily]:
        families = {name: GaugeMetricFamily(name, text, labels=["model_version"]) for name, text in _OF_MODELS.items()}
        for item in read_performance(self._workspace.catalog, MAX_VERSIONS).items:
            held_out, common = item.learning.held_out, item.learning.held_out_common
            drafts, effort = item.learning.presegmentations, item.effort
            stray = sum(found.cases for found in held_out.false_positives.values())
            values = {
                "mrseg_model_held_out_dsc": held_out.mean_dsc,
                "mrseg_model_held_out_cases": held_out.cases,
                "mrseg_model_held_out_false_positives": stray if held_out.cases else None,
                "mrseg_model_held_out_common_dsc": common.mean_dsc if common else None,
                "mrseg_model_held_out_common_cases": common.cases if common else None,
                "mrseg_model_draft_dsc": drafts.mean_dsc,
                "mrseg_model_draft_cases": drafts.cases,
                "mrseg_model_edited_voxels": effort.edited_voxels_per_case,
                "mrseg_model_edited_cases": effort.cases,
            }
            for name, value in values.items():
                if value is not None:
                    families[name].add_metric([item.learning.model_version], value)
        yield from families.values()
