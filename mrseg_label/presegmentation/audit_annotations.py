"""Let a model that was promoted look at the annotations so far: where it disagrees most, one of the two is wrong.

The job comes after all drafts. It sees the newest annotation first, and keeps what it found of each at once, so that work that is cut
short goes on where it ended. It gives way as soon as a draft waits for a worker, also in the midst of an image, and while a round trains.
"""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, model_audits, models, rounds
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, ModelAudit, ModelVersion
from mrseg_label.errors import ConfigurationError, DamagedModel, MrsegError, Unavailable
from mrseg_label.ids import new_id
from mrseg_label.jobs import JobContext, queue
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment import loaded_models_of
from mrseg_label.presegmentation.sparing import spare
from mrseg_label.segments.files import read_label_map

log = logging.getLogger("mrseg_label.presegmentation")
CHECK_EVERY = 25  # annotations, until what was found so far is listed
_LOOK_EVERY_SECONDS = 2.0
_WAIT_WHILE_TRAINING = timedelta(minutes=5)
_OF_THE_MODEL = (Unavailable, ConfigurationError, DamagedModel)


class DraftWaits(MrsegError):
    """A draft waits for this worker."""


def run(context: JobContext) -> None:
    """Compare the current model with the annotations that it has not seen, until a draft waits or none is left.

    Nothing is done if another model has been promoted since, if no round trained it, or if AUDIT_ANNOTATIONS is off.
    """
    version, settings = context.payload["model_version"], context.workspace.settings
    if settings.audit_annotations == "off" or settings.presegmentation == "off" or version == BOOTSTRAP:
        return
    context.workspace, _ = spare(context.workspace, context.claim.deaths)
    loaded = loaded_models_of(context)
    loaded.context = _GivesWay(context)
    done, left = 0, True
    try:
        while left and not context.stopping.is_set():
            context.check()
            with context.catalog.read() as session:
                model = models.current(session)
                annotation = model_audits.next_to_audit(session, version)
                waits = rounds.active(session) is not None or _draft_waits(session, context)
            if model.version != version:
                break
            left = annotation is not None
            if annotation is None or waits:
                break
            row = _audit(context, loaded, model, annotation)
            with context.catalog.begin() as session:
                model_audits.store(session, row)
            done += 1
            if done % CHECK_EVERY == 0:
                with context.catalog.begin() as session:
                    _enqueue_check(session)
    except DraftWaits:
        pass
    finally:
        loaded.context = context
    with context.publish({"annotations": done}) as session:
        if done:
            _enqueue_check(session)
        if left and models.current(session).version == version:
            _enqueue_again(session, context, version)


def _audit(context: JobContext, loaded: LoadedModels, model: ModelVersion, annotation: Annotation) -> ModelAudit:
    """Compare a model with an annotation; what cannot be compared is noted with the reason, and not tried again."""
    try:
        structures = _compare(context, loaded, model, annotation)
        return ModelAudit(model_version=model.version, annotation_id=annotation.id, structures=structures)
    except _OF_THE_MODEL:
        raise
    except DraftWaits:
        raise
    except (MrsegError, OSError) as error:
        context.check()
        log.warning("%s cannot be compared with annotation %s", model.version, annotation.id, exc_info=True)
        return ModelAudit(
            model_version=model.version, annotation_id=annotation.id, structures={}, problem=str(error)[:1000]
        )


def _compare(
    context: JobContext, loaded: LoadedModels, model: ModelVersion, annotation: Annotation
) -> dict[str, dict[str, Any]]:
    from mrseg_label.metrics import dice, hausdorff95, joint_histogram, per_structure

    workspace = context.workspace
    with workspace.catalog.read() as session:
        examination = acquisitions.primary_of(session, annotation.acquisition_id)
    assert examination is not None
    workspace.verify(annotation.path, annotation.digest)
    workspace.verify(examination.path, examination.digest)
    drawn, geometry = read_label_map(workspace.path(annotation.path))
    made = loaded.draft(model, examination)[0].label_map
    scheme, count = workspace.scheme, len(workspace.scheme)
    histogram = joint_histogram(drawn, made, count) * geometry.voxel_ml
    dsc = per_structure(scheme, dice(drawn, made, count))
    hd95 = per_structure(scheme, hausdorff95(drawn, made, geometry.spacing_mm, count))
    return {
        one.name: {
            "dsc": dsc[one.name],
            "hd95_mm": None if hd95[one.name] is None or math.isinf(hd95[one.name] or 0) else hd95[one.name],
            "ml": [round(float(histogram[one.id].sum()), 3), round(float(histogram[:, one.id].sum()), 3)],
        }
        for one in scheme
        if one.name in annotation.judged and dsc[one.name] is not None
    }


class _GivesWay(JobContext):
    """The context of a job, whose pulse ends the work on an image when a draft waits for a worker and none takes it."""

    def __init__(self, context: JobContext) -> None:
        self.__dict__ = context.__dict__  # one state with the context that the worker watches
        self._looked = (time.monotonic(), False)

    def pulse(self) -> None:
        """Say that the work goes on, as :meth:`JobContext.pulse`.

        Raises
        ------
        DraftWaits
            Twice in a row there was a draft that a worker could take.
        """
        super().pulse()
        before, waited = self._looked
        if time.monotonic() - before < _LOOK_EVERY_SECONDS:
            return
        with self.catalog.read() as session:
            waits = _draft_waits(session, self)
        self._looked = (time.monotonic(), waits)
        if waits and waited:
            raise DraftWaits("a draft waits for this worker")


def _draft_waits(session: Session, context: JobContext) -> bool:
    # Those that killed a process come last of all, so that giving way to them would give way to nobody.
    return job_rows.is_due(session, queue.DRAFTS, context.catalog.now(session), context.claim.deaths)


def _enqueue_again(session: Session, context: JobContext, version: str) -> None:
    job = queue.enqueue(
        session, queue.AUDIT_ANNOTATIONS, {"model_version": version}, key=version, priority=queue.BACKGROUND_PRIORITY
    )
    if rounds.active(session) is not None:
        job.not_before = context.catalog.now(session) + _WAIT_WHILE_TRAINING


def _enqueue_check(session: Session) -> None:
    queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key=new_id("au"), priority=queue.BACKGROUND_PRIORITY)
