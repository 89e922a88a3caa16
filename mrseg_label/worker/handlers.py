"""The service functions of each kind of job, imported when the first job of that kind runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from mrseg_label.jobs import JobContext, queue

HANDLERS: dict[str, tuple[str, ...]] = {
    queue.PRESEGMENT: ("mrseg_label.presegmentation.presegment:run",),
    queue.PRESEGMENT_PENDING: ("mrseg_label.presegmentation.presegment_pending:run",),
    queue.RENEW_PRESEGMENTATIONS: ("mrseg_label.presegmentation.presegment_pending:run",),
    queue.MEASURE_EFFORT: (
        "mrseg_label.annotation.effort:run",
        "mrseg_label.annotation.checks:enqueue",
        "mrseg_label.rounds.trigger:run",
    ),
    queue.MEASURE_MISSING_EFFORT: ("mrseg_label.annotation.missing_effort:run",),
    queue.CHECK_ANNOTATIONS: ("mrseg_label.annotation.checks:run",),
    queue.MEASURE_SOURCES: ("mrseg_label.presegmentation.measure_annotated:run",),
    queue.AUDIT_ANNOTATIONS: ("mrseg_label.presegmentation.audit_annotations:run",),
    queue.IMPORT_IMAGES: ("mrseg_label.intake.inbox:run",),
    queue.SEND_ANNOTATIONS: ("mrseg_label.exports.sending_jobs:run",),
    queue.IMPORT_MASK: ("mrseg_label.annotation.masks:run",),
    queue.COMPARE_SCANS: ("mrseg_label.intake.twins:run",),
    queue.PRUNE_ROUNDS: ("mrseg_label.rounds.housekeeping:run",),
    queue.TRY_MODEL: ("mrseg_label.registry.trials:run",),
    queue.TRAIN_ROUND: ("mrseg_label.rounds.run:run",),
    queue.TRAIN_FOLD: ("mrseg_label.rounds.folds:run",),
    queue.FINISH_ROUND: ("mrseg_label.rounds.run:finish",),
}


def handlers_of(kind: str) -> list[Callable[[JobContext], None]]:
    """Import the functions that run a kind of job, in their order."""
    functions = []
    for name in HANDLERS[kind]:
        module, _, attribute = name.partition(":")
        functions.append(getattr(importlib.import_module(module), attribute))
    return functions
