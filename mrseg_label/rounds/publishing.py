"""Publish the result of a round: register its model, decide on its promotion, and end the job."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries.held_out import CaseOrigin, origins, over_same_cases
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import PROGRAM, RoundState
from mrseg_label.clock import now
from mrseg_label.config import Settings, load_settings
from mrseg_label.jobs import JobContext, enqueue, queue
from mrseg_label.jobs.round_jobs import FAILED_KEY, PREPARATION_KEY
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.left_out import describe_left_out
from mrseg_label.nnunet.run import TrainingReport
from mrseg_label.registry import service as registry
from mrseg_label.registry.compare import Comparison, compare_over
from mrseg_label.registry.draft_advantage import DraftAdvantage, lineage_of
from mrseg_label.registry.scores import held_out_metrics
from mrseg_label.rounds.cross_validation import CrossValidation
from mrseg_label.rounds.doubts import DOUBTS_KEY, doubts_warning
from mrseg_label.rounds.evaluation import Scores
from mrseg_label.rounds.gate import Decision, as_document, decide
from mrseg_label.rounds.records import training_record, write_card
from mrseg_label.rounds.service import start_if_due
from mrseg_label.scoring import MEAN_OF_CASES

log = logging.getLogger("mrseg_label.rounds")
_OF_FOLDS = (PREPARATION_KEY, FAILED_KEY)  # in the result of a round: of an attempt before this one
_SEEN = (
    "it was trained on the held-out participants too, so it cannot be compared with other versions on their cases; "
    "its cross-validation says how good it is. Promote it by hand: mrseg-label models promote {version}"
)
_PRETRAINED = (
    "it was pretrained on drafts that nobody corrected; the next round starts from it, and it is promoted by nobody but "
    "an admin"
)


def publish(
    context: JobContext,
    row: Round,
    model_folder: Path,
    report: TrainingReport,
    new: Scores,
    current: Scores,
    left_out: Mapping[str, str],
    started: float,
    validated: CrossValidation | None = None,
) -> None:
    """Register the model of a round and end the round, in one transaction.

    The model is promoted if the gate (:mod:`mrseg_label.rounds.gate`) says so. Then all waiting cases are pre-segmented again;
    otherwise pre-segmenting goes on with the current model. If enough cases were annotated in the meantime, the
    next round starts.

    Parameters
    ----------
    model_folder : the trained model; it is moved into the workspace's store.
    new, current : scores of the new model and of the current one on the same held-out cases.
    left_out : reasons by examination, of held-out cases that could not be evaluated.
    started : when this attempt started, by ``time.monotonic``.
    validated : what the folds say together, if the round trained several.
    """
    workspace = context.workspace
    settings = load_settings(workspace.root)
    folds = validated or CrossValidation((0,))
    with workspace.catalog.read() as session:
        whose = origins(session, {evaluation.annotation_id for evaluation in (*new.cases, *current.cases)})
        row = rows.get(session, row.number) or row  # with what was added to its result since
        lineages = {
            current.model_version: lineage_of(session, current.model_version),
            new.model_version: (new.model_version, *lineage_of(session, row.parent)),
        }
    decision, comparison = decide_promotion(new, current, whose, workspace.scheme, settings, left_out, lineages)
    if row.include_held_out:
        decision = Decision(False, True, _SEEN.format(version=new.model_version))
    elif row.pretrain:
        decision = Decision(False, True, _PRETRAINED)
    promoted, reason = decision.promoted, decision.reason
    theirs, ours = comparison.scores
    gate = as_document(comparison, decision, settings.promotion_margin)
    card = write_card(workspace, row, report, model_folder)
    doubts = doubts_warning(row.result.get(DOUBTS_KEY, ()), row.number)
    warnings = [*report.warnings, *([doubts] if doubts else [])]
    stored = registry.store_files(workspace, new.model_version, model_folder)
    metrics = held_out_metrics(new.measured) | folds.metrics() | {
        "compared_with": {
            "version": current.model_version, "cases": comparison.cases, "mean_dsc": theirs.mean_dsc,
            "of_this": ours.mean_dsc,
        },
        "comparison": gate,
    }  # fmt: skip
    result = {
        "model_version": new.model_version,
        "promoted": promoted,
        "uncertain": decision.uncertain,
        "reason": reason,
        "comparison": gate,
        "mean_dsc": ours.mean_dsc if comparison.cases else new.measured.mean_dsc,
        "current_mean_dsc": theirs.mean_dsc,
        "held_out_cases": comparison.cases or new.measured.cases,
        "rule": MEAN_OF_CASES,
        "cases_reused": report.cases_reused,
        "cases_preprocessed": report.cases_made,
        **({"planned_anew": report.planned_anew} if report.planned_anew else {}),
        "warm_start": report.warm_start,
        **({"damaged": list(report.damaged)} if report.damaged else {}),
        **({"warnings": warnings} if warnings else {}),
        **(validated.result() if validated is not None else {}),
        "seconds": {**report.seconds, "round": round(time.monotonic() - started, 1)},
    }
    with context.publish(result) as session:
        registry.register(
            session,
            new.model_version,
            stored,
            actor=PROGRAM,
            round_number=row.number,
            parent=row.parent,
            dataset_digest=row.snapshot_digest,
            metrics=metrics,
            record=training_record(row, report, time.monotonic() - started),
            card=card,
        )
        for scores in (new, current):
            for measured in (*scores.cases, *scores.work):
                session.merge(measured)
        if promoted and models.current(session).version != current.model_version:
            promoted = False
            reason = (
                f"another model was promoted during the round; the new one was compared with {current.model_version}"
            )
            result |= {"promoted": promoted, "reason": reason}
        if promoted:
            registry.promote_in(session, new.model_version, actor=PROGRAM)
        else:  # readers continue with the current model
            enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)
        ended = rows.get(session, row.number)
        if ended is not None:
            ended.state = RoundState.DONE
            earlier = {key: value for key, value in ended.result.items() if key not in _OF_FOLDS}
            ended.result = {**earlier, **result}
            ended.progress = {"stage": "done", "fraction": 1.0}
            ended.finished_at = now()
        enqueue(session, queue.PRUNE_ROUNDS, {}, key=queue.PRUNE_ROUNDS, priority=queue.BACKGROUND_PRIORITY)
        session.flush()
        start_if_due(session, settings)
    log.info("round %d: mean DSC %s, current model %s; %s", row.number, ours.mean_dsc, theirs.mean_dsc, reason)


def decide_promotion(
    new: Scores,
    current: Scores,
    origins: Mapping[str, CaseOrigin],
    scheme: LabelScheme,
    settings: Settings,
    left_out: Mapping[str, str] | None = None,
    lineages: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Decision, Comparison]:
    """Decide whether a new model replaces the current one, over the cases that both have, and give the reason.

    Parameters
    ----------
    origins : of the held-out annotations.
    lineages : of the two versions, by which of them made drafts that the other one's training began with.
    """
    versions = (current.model_version, new.model_version)
    found = over_same_cases({current.model_version: current.cases, new.model_version: new.cases})
    advantage = DraftAdvantage(settings.promotion_draft_advantage, lineages or {})
    comparison = compare_over(found, versions, origins, scheme, advantage)
    if new.measured.mean_dsc is None:
        why = "no case of a held-out participant is annotated, so the new model could not be compared"
        if left_out:
            why = f"no held-out case could be evaluated: {describe_left_out(left_out)}"
        return Decision(False, True, why), comparison
    if comparison.difference.mean is None:
        why = f"{current.model_version} could not be evaluated on the held-out cases"
        return Decision(False, True, why), comparison
    return decide(comparison, settings.promotion, settings.promotion_margin), comparison
