"""The folds of a round, each trained by a job of its own, on whatever machine claims it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries import training as training_rows
from mrseg_label.catalog.tables import Round, RoundFold
from mrseg_label.catalog.types import FoldState, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import Cancelled, InvalidInput, LeaseLost, MrsegError
from mrseg_label.jobs import JobContext, enqueue, queue
from mrseg_label.jobs.round_jobs import PREPARATION_KEY, settle_folds
from mrseg_label.nnunet.folds import fold_identity, join_models, merge_reports, validation_folder
from mrseg_label.nnunet.run import TrainingProgress, TrainingReport
from mrseg_label.nnunet.supervise import train
from mrseg_label.registry.layout import tree_digest
from mrseg_label.rounds.cross_validation import CrossValidation, score_fold
from mrseg_label.rounds.recording import TrainingRecorder, fold_progress
from mrseg_label.rounds.training import describe_fold


def hand_over(context: JobContext, row: Round, folds: Sequence[int], preparation: TrainingReport) -> None:
    """End the job that prepared a round, and enqueue a job for each fold that is not trained yet.

    A fold that an earlier attempt trained is kept if it was trained with these plans, cases and settings.
    """
    workspace = context.workspace
    identities = {fold: fold_identity(describe_fold(workspace, row, fold), fold) for fold in folds}
    with context.catalog.read() as session:
        kept = {
            fold.fold
            for fold in training_rows.folds(session, row.number)
            if fold.state is FoldState.DONE
            and fold.result.get("identity") == identities[fold.fold]
            and _is_whole(workspace, fold)
        }
    with context.publish(preparation.to_json()) as session:
        if job_rows.cancel_requested(session, context.claim.job_id):
            raise Cancelled(f"round {row.number} was cancelled")
        locked = rows.get(session, row.number, lock=True)
        assert locked is not None
        locked.state = RoundState.TRAINING
        locked.result = {**locked.result, PREPARATION_KEY: preparation.to_json()}
        locked.progress = {"stage": "training", "folds": len(folds), "folds_done": len(kept), "fraction": 0.0}
        for number in folds:
            fold = training_rows.get_or_add(session, row.number, number)
            if number in kept:
                continue
            job = enqueue(
                session, queue.TRAIN_FOLD, {"round": row.number, "fold": number}, key=f"{row.number}-{number}"
            )
            fold.state, fold.job_id = FoldState.QUEUED, job.id
            fold.error = fold.started_at = fold.finished_at = None
            fold.progress, fold.curve, fold.result = {}, [], {}
        settle_folds(session, locked, now())


def run(context: JobContext) -> None:
    """Train fold ``payload["fold"]`` of round ``payload["round"]``, or what an earlier attempt left of it."""
    job = _FoldJob(context, int(context.payload["round"]), int(context.payload["fold"]))
    try:
        job.run()
    except (LeaseLost, Cancelled):
        raise
    except Exception as error:
        job.record_failure(error)
        raise


class _FoldJob:
    def __init__(self, context: JobContext, number: int, fold: int) -> None:
        self.context, self.number, self.fold = context, number, fold
        self.workspace, self.catalog = context.workspace, context.catalog

    def run(self) -> None:
        row = self._begin()
        training = describe_fold(self.workspace, row, self.fold)
        with TrainingRecorder(self.catalog, self.number, training.folder, self.fold) as recorder:
            report = train(training, lambda progress: self._report(progress, recorder))
        folder = validation_folder(training, self.fold)
        scores = score_fold(self.workspace, self.number, training, folder, self.context.check)
        digest = tree_digest(training.model)
        result: dict[str, Any] = {
            "model": training.model.relative_to(self.workspace.root).as_posix(),
            "digest": digest,
            "identity": fold_identity(training, self.fold),
            "report": report.to_json(),
            "cases": [score.to_json() for score in scores],
        }
        measured = CrossValidation.of_fold(scores)
        result |= {"mean_dsc": measured.mean_dsc, "unseen_cases": measured.cases}
        with self.context.publish({"mean_dsc": measured.mean_dsc}) as session:
            fold = self._row(session)
            fold.state, fold.result, fold.error = FoldState.DONE, result, None
            fold.progress, fold.finished_at = {**fold.progress, "stage": "done", "fraction": 1.0}, now()
            locked = rows.get(session, self.number, lock=True)
            assert locked is not None
            self._sum_up(session, locked)
            settle_folds(session, locked, now())

    def record_failure(self, error: Exception) -> None:
        """Store why this attempt failed. If it was the last, the end of the job ends the fold too."""
        text = str(error) if isinstance(error, MrsegError) else repr(error)
        with self.catalog.begin() as session:
            fold = training_rows.get(session, self.number, self.fold)
            if fold is not None and fold.job_id == self.context.claim.job_id:
                fold.state, fold.error = FoldState.QUEUED, text

    def _begin(self) -> Round:
        with self.catalog.begin() as session:
            row, fold = rows.get(session, self.number), self._row(session)
            if row is None:
                raise InvalidInput(f"round {self.number} does not exist")
            fold.state, fold.error = FoldState.RUNNING, None
            fold.started_at = fold.started_at or now()
            return row

    def _row(self, session: Session) -> RoundFold:
        fold = training_rows.get(session, self.number, self.fold)
        if fold is None or fold.job_id != self.context.claim.job_id:
            raise InvalidInput(f"fold {self.fold} of round {self.number} belongs to another job")
        return fold

    def _report(self, progress: TrainingProgress, recorder: TrainingRecorder) -> None:
        self.context.check()
        if not recorder.record(progress):
            return
        self.context.progress(**fold_progress(progress))  # raises if the job was cancelled or is no longer held
        with self.catalog.begin() as session:
            row = rows.get(session, self.number, lock=True)
            if row is not None:
                self._sum_up(session, row)

    def _sum_up(self, session: Session, row: Round) -> None:
        """Write the progress of the round from that of its folds."""
        folds = training_rows.folds_now(session, self.number)
        fraction = sum(map(_trained, folds)) / len(folds)
        epochs = max((int(fold.progress.get("epochs") or 0) for fold in folds), default=0)
        row.progress = {
            "stage": "training",
            "folds": len(folds),
            "folds_done": sum(fold.state is FoldState.DONE for fold in folds),
            "epoch": int(fraction * epochs),
            "epochs": epochs,
            "fraction": round(fraction, 4),
        }


def join_folds(workspace: OpenedWorkspace, row: Round, model: Path) -> tuple[TrainingReport, CrossValidation]:
    """Join the folds of a round that succeeded to the model folder ``model``; one that is damaged is left out.

    Raises
    ------
    MrsegError
        No fold is left.
    """
    with workspace.catalog.begin() as session:
        folds = training_rows.folds(session, row.number)
        done = [fold for fold in folds if fold.state is FoldState.DONE]
        for fold in done:
            if not _is_whole(workspace, fold):
                fold.state = FoldState.FAILED
                fold.error = "its exported weights are missing or damaged"
        whole = [fold for fold in done if fold.state is FoldState.DONE]
        results = {fold.fold: fold.result for fold in whole}
        failed = {fold.fold: fold.error or "" for fold in folds if fold.state is FoldState.FAILED}
    if not whole:
        raise MrsegError(
            f"the weights of every fold of round {row.number} are missing or damaged; train them again with: "
            f"mrseg-label rounds retry {row.number}"
        )
    join_models([workspace.path(result["model"]) for result in results.values()], model)
    preparation = TrainingReport.from_json(row.result[PREPARATION_KEY])
    report = merge_reports(preparation, [TrainingReport.from_json(result["report"]) for result in results.values()])
    return report, CrossValidation.of({fold: result["cases"] for fold, result in results.items()}, failed)


def version_of(catalog: Catalog, number: int) -> str:
    """Name of the version that a round registers: ``r3``, and ``r3.2`` if its second attempt adds a fold to it."""
    with catalog.read() as session:
        row = rows.get(session, number)
        taken = models.get(session, f"r{number}") is not None
    return f"r{number}.{row.attempt}" if taken and row is not None else f"r{number}"


def remove_exported(workspace: OpenedWorkspace, row: Round) -> None:
    """Remove what the folds of a round left for the joined model, which is stored now."""
    shutil.rmtree(describe_fold(workspace, row, 0).model.parent, ignore_errors=True)


def _trained(fold: RoundFold) -> float:
    """Fraction of a fold's training that is done."""
    if fold.progress.get("stage") in ("exporting", "validating", "done"):
        return 1.0
    return float(fold.progress.get("fraction") or 0.0) if fold.progress.get("stage") == "training" else 0.0


def _is_whole(workspace: OpenedWorkspace, fold: RoundFold) -> bool:
    path = workspace.path(fold.result.get("model", ""))
    return path.is_dir() and tree_digest(path) == fold.result.get("digest")
