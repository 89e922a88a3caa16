"""The jobs that run a round: snapshot, data set, training, evaluation, and a new model version.

A round of one fold is one job. One of several prepares the data set, and enqueues a job for each fold
(:mod:`mrseg_label.rounds.folds`), of which the last one enqueues the job that finishes the round. Every stage can be
repeated. If a worker dies, the snapshot is in the catalogue and preprocessed cases and checkpoints are in nnU-Net's
folders; the next attempt continues from there.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries import training as fold_rows
from mrseg_label.catalog.tables import ModelVersion, Round
from mrseg_label.catalog.types import ENDED_ROUNDS, CaseRole, FoldState, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import (
    FINAL_ERRORS,
    Cancelled,
    ConfigurationError,
    DamagedModel,
    InvalidInput,
    LeaseLost,
    MachineFailure,
    Unavailable,
)
from mrseg_label.failures import explain_in
from mrseg_label.jobs import JobContext
from mrseg_label.jobs.round_jobs import end_round
from mrseg_label.nnunet.run import TrainingPart, TrainingProgress, TrainingReport
from mrseg_label.nnunet.supervise import train
from mrseg_label.presegmentation.candidates import CASES_COMPARED
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.measuring import measure_sources
from mrseg_label.registry.lineage import FIRST_WEIGHTS_KEY
from mrseg_label.rounds import pretraining
from mrseg_label.rounds.advice import with_advice
from mrseg_label.rounds.cross_validation import CrossValidation
from mrseg_label.rounds.evaluation import Scores, evaluate, held_out_annotations
from mrseg_label.rounds.first_weights import choose_first_weights
from mrseg_label.rounds.folds import hand_over, join_folds, remove_exported, version_of
from mrseg_label.rounds.left_out import by_examination, record_left_out
from mrseg_label.rounds.missing_presegmentations import make_missing_presegmentations, score_current_model
from mrseg_label.rounds.publishing import publish
from mrseg_label.rounds.recording import TrainingRecorder, fold_progress
from mrseg_label.rounds.service import forget_parent_that_saw_cases
from mrseg_label.rounds.snapshot import training_cases
from mrseg_label.rounds.take_snapshot import take_snapshot
from mrseg_label.rounds.training import prepare_training

log = logging.getLogger("mrseg_label.rounds")
_STATES = {
    "planning": RoundState.PLANNING,
    "preprocessing": RoundState.PREPROCESSING,
    "training": RoundState.TRAINING,
    "exporting": RoundState.TRAINING,
}


def run(context: JobContext) -> None:
    """Run round ``payload["round"]``, or what an earlier attempt left of it."""
    number = int(context.payload["round"])
    _recording_the_end(context, number, _RoundJob(context, number).run)


def finish(context: JobContext) -> None:
    """Finish round ``payload["round"]``, whose folds have ended: join them, evaluate the model and register it."""
    number = int(context.payload["round"])
    _recording_the_end(context, number, _RoundJob(context, number).finish)


def _recording_the_end(context: JobContext, number: int, work: Callable[[], None]) -> None:
    try:
        work()
    except LeaseLost:
        raise
    except Cancelled:
        _record_end(context, number, RoundState.CANCELLED, "cancelled by an admin")
        raise
    except Exception as error:
        machine = isinstance(explain_in(context.workspace.root, error), MachineFailure)  # the worker tries again later
        again = machine or context.stopping.is_set() or not context.claim.last_attempt
        if isinstance(error, FINAL_ERRORS) or not again:
            _record_end(context, number, RoundState.FAILED, with_advice(error, number))
        else:
            _record_end(context, number, RoundState.QUEUED, str(error) or repr(error))
        raise


def _record_end(context: JobContext, number: int, state: RoundState, error: str) -> None:
    with context.catalog.begin() as session:
        row = rows.get(session, number)
        if row is None:
            return
        if state in ENDED_ROUNDS:
            end_round(session, row, state, error, now())
        else:
            row.state, row.error, row.finished_at = state, error, None
            fold_rows.end_folds(session, number, FoldState(str(state)), error)


class _RoundJob:
    def __init__(self, context: JobContext, number: int) -> None:
        self.context = context
        self.workspace = context.workspace
        self.catalog = context.catalog
        self.number = number
        self.scratch = self.workspace.root / "tmp" / f"round-{number}"
        self.model_folder = self.scratch / "model"
        self.started = time.monotonic()
        self._drafts: list[pretraining.Draft] = []

    def run(self) -> None:
        self._begin()
        self._presegment_missing()
        row = self._take_snapshot()
        self.scratch.mkdir(parents=True, exist_ok=True)
        folds = self._folds()
        report = self._train(row, TrainingPart.ALL if len(folds) < 2 else TrainingPart.PREPARATION)
        if len(folds) < 2:
            self._evaluate_and_publish(row, report, None)
        else:
            hand_over(self.context, row, folds, report)

    def finish(self) -> None:
        """Join the folds that succeeded to one model, and end the round with it."""
        row = self._begin(RoundState.EVALUATING)
        self.scratch.mkdir(parents=True, exist_ok=True)
        report, validated = join_folds(self.workspace, row, self.model_folder)
        self._evaluate_and_publish(row, report, validated)

    def _folds(self) -> Sequence[int]:
        with self.catalog.read() as session:
            return [fold.fold for fold in fold_rows.folds(session, self.number)]

    def _evaluate_and_publish(self, row: Round, report: TrainingReport, validated: CrossValidation | None) -> None:
        new, current, left_out = self._evaluate(version_of(self.catalog, self.number))
        publish(self.context, row, self.model_folder, report, new, current, left_out, self.started, validated)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if validated is not None and not validated.failed:  # otherwise a retry adds the missing fold to them
            remove_exported(self.workspace, row)

    def _begin(self, state: RoundState = RoundState.SNAPSHOT) -> Round:
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is None:
                raise InvalidInput(f"round {self.number} does not exist")
            row.state = state
            row.started_at = row.started_at or now()
            row.error = None
            return row

    def _presegment_missing(self) -> None:
        """Before the snapshot, make the drafts that cases which were annotated in part are filled from."""
        with self.catalog.read() as session:
            row = rows.get(session, self.number)
            if row is None or row.snapshot_digest is not None:
                return

        def progress(done: int, total: int) -> None:
            values = {"stage": "drafts", "cases": total, "fraction": round(done / total, 4)}
            self._write_progress(RoundState.SNAPSHOT, values)

        loaded_models = LoadedModels(self.workspace, self.context)
        if row.pretrain:
            self._drafts = pretraining.make_drafts(self.workspace, loaded_models, self.context.check, progress)
            return
        try:
            score_current_model(self.workspace, loaded_models, self.context.check)
        except (Unavailable, ConfigurationError, DamagedModel) as error:
            log.warning("round %d does not know how good the current model is: %s", self.number, error)
        make_missing_presegmentations(self.workspace, loaded_models, self.context.check, progress)

    def _take_snapshot(self) -> Round:
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            assert row is not None
            if row.pretrain:
                pretraining.take_snapshot(session, row, self.workspace, self._drafts)
                return row
        take_snapshot(self.catalog, self.number, self.workspace)
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            assert row is not None
            if (changed := forget_parent_that_saw_cases(session, row)) is not None:
                row.result = {**row.result, "parent_changed": changed}
            return row

    def _train(self, row: Round, part: TrainingPart) -> TrainingReport:
        if row.pretrain:
            cases, record, left_out = pretraining.training_cases(self.workspace, self.number)
        else:
            cases, record, left_out = training_cases(self.workspace, self.number, self.scratch)
        self._add_to_result(record)
        self._leave_out(CaseRole.TRAINING, left_out)
        first_weights = choose_first_weights(self.workspace, row)
        self._add_to_result({FIRST_WEIGHTS_KEY: first_weights.to_json()})
        folds = max(1, len(self._folds()))
        training, not_written = prepare_training(self.workspace, row, cases, first_weights, self.model_folder, folds)
        self._leave_out(CaseRole.TRAINING, not_written)
        with TrainingRecorder(self.catalog, self.number, training.folder) as recorder:
            report = train(replace(training, part=part), lambda progress: self._report_training(progress, recorder))
        self._leave_out(CaseRole.TRAINING, report.left_out)
        return report

    def _leave_out(self, role: CaseRole, reasons: Mapping[str, str]) -> None:
        with self.catalog.begin() as session:
            record_left_out(session, self.number, role, reasons)

    def _evaluate(self, version: str) -> tuple[Scores, Scores, Mapping[str, str]]:
        """Evaluate the new model and the current one on the same held-out cases; those that fail are left out."""
        annotations = held_out_annotations(self.catalog, self.number)
        values = {"stage": "evaluating", "cases": len(annotations), "fraction": 1.0}
        self._write_progress(RoundState.EVALUATING, values)
        path = self.model_folder.relative_to(self.workspace.root)
        new_model = ModelVersion(version=version, path=str(path))
        with self.catalog.read() as session:
            current_model = models.current(session)
            comparable = not models.saw_held_out(session, current_model.version)
        loaded, check = LoadedModels(self.workspace, self.context), self.context.check
        reasons: dict[str, str] = {}
        new = evaluate(self.workspace, loaded, new_model, annotations, check, reasons, ignore_stored=True)
        try:
            remaining = [annotation for annotation in annotations if comparable and annotation.id not in reasons]
            current = evaluate(self.workspace, loaded, current_model, remaining, check, reasons)
        except (Unavailable, ConfigurationError, DamagedModel) as error:
            # TotalSegmentator's weights have been removed, or the files of the model are damaged.
            log.warning("round %d cannot be compared with %s: %s", self.number, current_model.version, error)
            current = Scores(current_model.version, ())
        left_out = by_examination(annotations, reasons)
        self._leave_out(CaseRole.HELD_OUT, left_out)
        measurable = [annotation for annotation in annotations if annotation.id not in reasons]
        measure_sources(self.workspace, loaded, new_model, measurable, check, CASES_COMPARED)
        return new, current, left_out

    def _report_training(self, progress: TrainingProgress, recorder: TrainingRecorder) -> None:
        self.context.check()
        if not recorder.record(progress):
            return
        values = {
            **fold_progress(progress),
            "fold": progress.fold,
            "folds": len(progress.folds) or None,
            "seconds": round(time.monotonic() - self.started, 1),
        }
        if progress.stage == "preprocessing":
            values["cases"] = progress.total_iterations
        else:
            values["fraction"] = round(progress.fraction, 4)
        self._write_progress(_STATES.get(progress.stage), values)

    def _write_progress(self, state: RoundState | None, progress: Mapping[str, object]) -> None:
        self.context.progress(**progress)  # raises if the job was cancelled or is no longer held
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is not None:
                row.state = state or row.state
                row.progress = dict(progress)

    def _add_to_result(self, record: Mapping[str, object]) -> None:
        """Store how the label maps were made, even if the training fails later."""
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is not None:
                row.result = {**row.result, **record}
