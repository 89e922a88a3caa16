"""Check annotations against each other, as a job after every submission and every acceptance.

How far independent readings agree is measured and kept, and annotations and drafts that somebody should look at are found anew.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.annotation import mask_facts
from mrseg_label.annotation.blind_readings import measure_blind_readings
from mrseg_label.annotation.readings import measure_agreement
from mrseg_label.annotation.suspicious import find_suspicious
from mrseg_label.catalog.queries import compared_masks, held_out, model_audits, suspicions
from mrseg_label.jobs import JobContext, queue


def enqueue(context: JobContext) -> None:
    """Enqueue the check, when the effort of the annotation of a ``measure_effort`` job has been measured."""
    with context.catalog.begin() as session:
        enqueue_check(session, context.claim.job_id)


def enqueue_check(session: Session, key: str) -> None:
    """Enqueue a check within a transaction, behind all other work."""
    queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key=key, priority=queue.BACKGROUND_PRIORITY)


def run(context: JobContext) -> None:
    """Check the annotations, unless a later job does so: it sees all that this one would.

    Running again gives the same result.
    """
    with context.catalog.read() as session:
        if suspicions.is_followed(session, context.claim.job_id):
            return
        masks = [*compared_masks.annotated(session), *compared_masks.drafted(session)]
        audited = model_audits.current(session)
        version, audits = audited or (compared_masks.newest_tested_version(session), {})
        scores = {} if version is None else held_out.compared(session, [version]).by_case.get(version, {})
    masks, overlaps, finished = mask_facts.measure(context, masks)
    pairs = mask_facts.names_of_pairs(context.workspace.scheme)
    found = find_suspicious(masks, version, scores, overlaps, pairs, audits)
    context.check()
    with context.catalog.begin() as session:
        if not suspicions.is_followed(session, context.claim.job_id):
            suspicions.replace(session, found, context.catalog.now(session))
    measured = measure_agreement(context) + measure_blind_readings(context)
    with context.publish({"suspicious": len(found), "measured": measured}) as session:
        if not finished:
            enqueue_check(session, context.claim.job_id)
