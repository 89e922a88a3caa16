"""The job that is a round: snapshot, data set, training, evaluation, a model version.

Every stage can be done again: a worker that dies leaves the snapshot in the catalogue, preprocessed cases and
checkpoints in nnU-Net's folders, and the next attempt goes on from there.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion, Round
from mrseg_label.catalog.types import ENDED_ROUNDS, RoundState
from mrseg_label.clock import now
from mrseg_label.config import load_settings
from mrseg_label.errors import Cancelled, ConfigurationError, InvalidInput, LeaseLost, MrsegError, Unavailable
from mrseg_label.jobs import JobContext, enqueue, queue
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL
from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.nnunet.run import TrainingProgress, TrainingReport, TrainingRun
from mrseg_label.nnunet.supervise import train
from mrseg_label.presegmentation.engines import Engines
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.registry import service as registry
from mrseg_label.rounds import snapshot
from mrseg_label.rounds.evaluation import Scores, evaluate, evaluations, held_out_annotations
from mrseg_label.rounds.missing_presegmentations import make_missing
from mrseg_label.rounds.service import log_path, start_if_due

log = logging.getLogger("mrseg_label.rounds")
FIRST_DATASET = 500  # numbers below are taken by public data sets and TotalSegmentator's
SAY_SECONDS = 2.0
_STATES = {
    "planning": RoundState.PLANNING,
    "preprocessing": RoundState.PREPROCESSING,
    "training": RoundState.TRAINING,
    "exporting": RoundState.TRAINING,
}


def run(context: JobContext) -> None:
    """Do round ``payload["round"]``, or the rest of it."""
    number = int(context.payload["round"])
    try:
        _RoundRun(context, number).run()
    except LeaseLost:
        raise
    except Cancelled:
        _end(context, number, RoundState.CANCELLED, "cancelled by an admin")
        raise
    except Exception as error:
        lasting = context.claim.last_attempt or isinstance(error, InvalidInput)
        _end(context, number, RoundState.FAILED if lasting else RoundState.QUEUED, str(error) or repr(error))
        raise


def _end(context: JobContext, number: int, state: RoundState, error: str) -> None:
    with context.catalog.begin() as session:
        row = rows.get(session, number)
        if row is not None:
            row.state = state
            row.error = error
            row.finished_at = now() if state in ENDED_ROUNDS else None


class _RoundRun:
    def __init__(self, context: JobContext, number: int) -> None:
        self.context = context
        self.workspace = context.workspace
        self.catalog = context.catalog
        self.number = number
        self.version = f"r{number}"
        self.work = self.workspace.root / "tmp" / f"round-{number}"
        self.started = time.monotonic()
        self._said = 0.0
        self._stage = ""

    def run(self) -> None:
        self._start()
        self._draft_what_is_missing()
        row = self._take_snapshot()
        self.work.mkdir(parents=True, exist_ok=True)
        report = self._train(row)
        candidate, scores, parent_scores = self._evaluate(row)
        self._publish(row, report, candidate, scores, parent_scores)
        shutil.rmtree(self.work, ignore_errors=True)

    def _start(self) -> None:
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is None:
                raise InvalidInput(f"there is no round {self.number}")
            row.state = RoundState.SNAPSHOT
            row.started_at = row.started_at or now()
            row.error = None

    def _draft_what_is_missing(self) -> None:
        """Before the snapshot: drafts for annotated cases that have none and leave structures unjudged."""
        with self.catalog.read() as session:
            row = rows.get(session, self.number)
            if row is None or row.snapshot_digest is not None:
                return

        def say(done: int, wanted: int) -> None:
            self._set(RoundState.SNAPSHOT, {"stage": "drafts", "cases": wanted, "fraction": round(done / wanted, 4)})

        try:
            make_missing(self.workspace, Engines(self.workspace), self.context.check, say)
        except (Unavailable, ConfigurationError) as error:
            log.warning("round %d fills nothing in cases without a draft: %s", self.number, error)

    def _take_snapshot(self) -> Round:
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            assert row is not None
            snapshot.take(session, row, self.workspace.scheme)
            return row

    def _train(self, row: Round) -> TrainingReport:
        profile = profile_named(row.profile)
        folders = NnunetFolders.under(self.workspace.nnunet)
        name = f"Dataset{FIRST_DATASET + self.number:03d}_round{self.number}"
        cases, record = snapshot.training_cases(self.workspace, self.number, self.work)
        self._note(record)
        folds = profile.folds if row.final else 1
        folders.raw.mkdir(parents=True, exist_ok=True)
        write_raw_dataset(folders.raw, name, cases, self.workspace.scheme, folds=folds)
        earlier = self._earlier(folders)
        model = self.work / "model"
        shutil.rmtree(model, ignore_errors=True)  # of an attempt that died; the checkpoint has it still
        warm_start, heads = self._warm_start(row.parent or BOOTSTRAP)
        training = TrainingRun(
            folder=log_path(self.workspace, self.number).parent,
            nnunet=self.workspace.nnunet,
            dataset=name,
            profile=profile.name,
            model=model,
            folds=tuple(range(folds)),
            device=self.workspace.settings.device,
            plans_from=earlier[0] if earlier else None,
            preprocessed_from=tuple(earlier),
            warm_start=warm_start,
            warm_start_heads=heads,
        )
        return train(training, self._say)

    def _earlier(self, folders: NnunetFolders) -> list[Path]:
        """Preprocessed folders of the rounds before, newest first."""
        names = [f"Dataset{FIRST_DATASET + number:03d}_round{number}" for number in range(self.number - 1, 0, -1)]
        return [folder for name in names if (folder := folders.preprocessed / name).is_dir()]

    def _warm_start(self, parent: str) -> tuple[Path | None, dict[int, tuple[int, ...]] | None]:
        """The model whose weights the training starts from, and its classes for each of our ids."""
        if parent != BOOTSTRAP:
            with self.catalog.read() as session:
                model = models.get(session, parent)
            return (self.workspace.path(model.path), None) if model is not None and model.path else (None, None)
        try:
            weights = find_weights(self.workspace.settings.totalseg_weights_path)
        except MrsegError as error:
            log.warning("round %d starts from random weights: %s", self.number, error)
            return None, None
        scheme = self.workspace.scheme
        ids = scheme.ids_in(TOTALSEGMENTATOR_TOTAL)
        return weights.model_folder, {scheme[name].id: parts for name, parts in ids.items()}

    def _say(self, progress: TrainingProgress) -> None:
        self.context.check()
        moment = time.monotonic()
        if progress.stage == self._stage and moment - self._said < SAY_SECONDS:
            return
        self._said, self._stage = moment, progress.stage
        state = _STATES.get(progress.stage)
        values = {
            "stage": progress.stage,
            "fold": progress.fold,
            "folds": len(progress.folds) or None,
            "epoch": progress.epoch,
            "epochs": progress.total_epochs,
            "loss": progress.loss,
            "fraction": round(progress.fraction, 4),
            "seconds": round(moment - self.started, 1),
        }
        self._set(state, values)

    def _note(self, record: Mapping[str, object]) -> None:
        """Keep with the round what its label maps are made of, also where the training fails later."""
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is not None:
                row.result = {**row.result, **record}

    def _set(self, state: RoundState | None, progress: Mapping[str, object]) -> None:
        self.context.progress(**progress)  # raises where the job is no longer ours
        with self.catalog.begin() as session:
            row = rows.get(session, self.number)
            if row is not None:
                row.state = state or row.state
                row.progress = dict(progress)

    def _evaluate(self, row: Round) -> tuple[ModelVersion, Scores, Scores]:
        """Scores of the new model and of the current one on the same held-out cases."""
        annotations = held_out_annotations(self.catalog, self.number)
        self._set(RoundState.EVALUATING, {"stage": "evaluating", "cases": len(annotations), "fraction": 1.0})
        path = (self.work / "model").relative_to(self.workspace.root)
        candidate = ModelVersion(version=self.version, path=str(path))
        with self.catalog.read() as session:
            present = models.current(session)
        engines = Engines(self.workspace)
        ours = evaluate(self.workspace, engines, candidate, annotations, self.context.check, fresh=True)
        try:
            theirs = evaluate(self.workspace, engines, present, annotations, self.context.check)
        except (
            Unavailable,
            ConfigurationError,
        ) as error:  # the bootstrap's weights were taken away: nothing to compare with
            log.warning("round %d cannot be compared with %s: %s", self.number, present.version, error)
            theirs = Scores(present.version, (), ours.dsc[:0])
        return candidate, ours, theirs

    def _publish(
        self, row: Round, report: TrainingReport, candidate: ModelVersion, ours: Scores, theirs: Scores
    ) -> None:
        workspace = self.workspace
        settings = load_settings(workspace.root)
        promoted, reason = decide(ours, theirs)
        stored = registry.store_files(workspace, self.version, self.work / "model")
        metrics = {
            "mean_dsc": ours.mean,
            "dsc": ours.per_structure(workspace.scheme.names),
            "held_out_cases": len(ours.annotations),
            "compared_with": {"version": theirs.model_version, "mean_dsc": theirs.mean},
        }
        result = {
            "model_version": self.version,
            "promoted": promoted,
            "reason": reason,
            "mean_dsc": ours.mean,
            "current_mean_dsc": theirs.mean,
            "held_out_cases": len(ours.annotations),
            "cases_reused": report.cases_reused,
            "cases_preprocessed": report.cases_made,
            "warm_start": report.warm_start,
            "seconds": {**report.seconds, "round": round(time.monotonic() - self.started, 1)},
        }
        with self.context.publish(result) as session:
            registry.register(
                session,
                self.version,
                stored,
                actor="mrseg-label",
                round_number=self.number,
                parent=row.parent,
                dataset_digest=row.snapshot_digest,
                metrics=metrics,
            )
            for scores in (ours, theirs):
                for evaluation in evaluations(scores, workspace.scheme.names):
                    session.merge(evaluation)
            if promoted and models.current(session).version != theirs.model_version:
                promoted, reason = (
                    False,
                    f"another model was promoted meanwhile; {theirs.model_version} was compared with",
                )
                result |= {"promoted": promoted, "reason": reason}
            if promoted:
                registry.promote_in(session, self.version, actor="mrseg-label")
            else:
                enqueue(
                    session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING
                )  # readers go on with the model there is
            done = rows.get(session, self.number)
            if done is not None:
                done.state = RoundState.DONE
                done.result = {**done.result, **result}
                done.progress = {"stage": "done", "fraction": 1.0}
                done.finished_at = now()
            session.flush()
            start_if_due(session, settings)
        log.info("round %d: mean DSC %s, before %s; %s", self.number, ours.mean, theirs.mean, reason)


def decide(ours: Scores, theirs: Scores) -> tuple[bool, str]:
    """Whether a new model takes the place of the current one, and why."""
    if ours.mean is None:
        return False, "no case of a held-out participant is annotated, so nothing says that the new model is better"
    if theirs.mean is None:
        return False, f"{theirs.model_version} could not be evaluated on the held-out cases"
    difference = f"mean DSC {ours.mean:.3f} against {theirs.mean:.3f} of {theirs.model_version} on {len(ours.annotations)} held-out cases"
    return (True, f"better: {difference}") if ours.mean > theirs.mean else (False, f"not better: {difference}")
