"""Score the cases that each fold has not seen, so that every training case is scored once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries.held_out import HeldOutScore, summarise
from mrseg_label.catalog.tables import Annotation, Evaluation
from mrseg_label.catalog.types import CaseRole
from mrseg_label.jobs.round_jobs import FAILED_KEY, FOLDS_KEY
from mrseg_label.metrics.scoring import score_case
from mrseg_label.nnunet.environment import FILE_ENDING, IGNORE
from mrseg_label.nnunet.run import TrainingRun
from mrseg_label.registry.scores import held_out_metrics
from mrseg_label.rounds.evaluation import evaluation_of
from mrseg_label.rounds.snapshot import annotated_structures
from mrseg_label.segments.files import read_label_map

_DIGITS = 4


@dataclass(frozen=True)
class UnseenCase:
    """The score of an examination by the fold that has not seen it; only structures that were annotated count."""

    annotation: str
    examination: str
    mean_dsc: float | None
    dsc: Mapping[str, float | None]
    apart: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON, with numbers of four digits."""
        return {
            "annotation": self.annotation,
            "examination": self.examination,
            "mean_dsc": self.mean_dsc,
            "dsc": {name: round(value, _DIGITS) for name, value in self.dsc.items() if value is not None},
            "apart": self.apart,
        }

    def to_evaluation(self) -> Evaluation:
        """Return the score in the form in which others are summarised; it is not for the catalogue."""
        return Evaluation(
            annotation_id=self.annotation,
            examination_id=self.examination,
            mean_dsc=self.mean_dsc,
            dsc=dict(self.dsc),
            apart=dict(self.apart),
        )


def score_fold(
    workspace: OpenedWorkspace, number: int, training: TrainingRun, predictions: Path, check: Callable[[], None]
) -> list[UnseenCase]:
    """Score the predictions of one fold against the label maps of its data set.

    What was filled where a reader did not annotate a structure is no reference, so that such structures do not count.

    Parameters
    ----------
    predictions : label maps ``CASE.nii.gz`` on the grids of the data set.
    check : called before each case; may raise to end the work.
    """
    scheme = workspace.scheme
    labels = training.folders.raw / training.dataset / "labelsTr"
    dataset_json = json.loads((training.folders.raw / training.dataset / "dataset.json").read_text())
    ignore = dataset_json["labels"].get(IGNORE)
    annotations = _annotations(workspace, number)
    scores = []
    for path in sorted(predictions.glob(f"*{FILE_ENDING}")):
        check()
        case = path.name.removesuffix(FILE_ENDING)
        if case not in annotations:
            continue
        reference, geometry = read_label_map(labels / path.name)
        if ignore is not None:
            reference[reference == ignore] = 0  # no structure that was annotated is there
        prediction, _ = read_label_map(path)
        score = score_case(reference, prediction, len(scheme))
        annotated = annotated_structures(annotations[case], scheme)
        row = evaluation_of("", (annotations[case].id, case), score, scheme, annotated, geometry.voxel_ml)
        scores.append(UnseenCase(annotations[case].id, case, row.mean_dsc, row.dsc, row.apart))
    return scores


def _annotations(workspace: OpenedWorkspace, number: int) -> dict[str, Annotation]:
    """The annotation of each examination that a round trains on."""
    with workspace.catalog.read() as session:
        return {
            channel.id: case.annotation
            for case in rows.cases(session, number)
            if case.role is CaseRole.TRAINING
            for channel in acquisitions.channels(session, case.acquisition_id)
        }


@dataclass(frozen=True)
class CrossValidation:
    """What the folds of a round say together.

    Attributes
    ----------
    folds : numbers of the folds of the model.
    failed : reasons by fold, for those that could not be trained.
    score : over the cases that these folds have not seen, each predicted once.
    by_fold : mean DSC of each fold over its own unseen cases.
    """

    folds: tuple[int, ...]
    failed: Mapping[int, str] = field(default_factory=dict)
    score: HeldOutScore = field(default_factory=HeldOutScore)
    by_fold: Mapping[int, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, cases: Mapping[int, Sequence[Mapping[str, Any]]], failed: Mapping[int, str]) -> CrossValidation:
        """Summarise the stored scores of each fold."""
        scores = {fold: [UnseenCase(**case) for case in found] for fold, found in cases.items()}
        return cls(
            folds=tuple(sorted(cases)),
            failed=failed,
            score=cls.of_fold([score for found in scores.values() for score in found]),
            by_fold={fold: cls.of_fold(found).mean_dsc for fold, found in sorted(scores.items())},
        )

    @staticmethod
    def of_fold(scores: Sequence[UnseenCase]) -> HeldOutScore:
        """Summarise scores by the rule of every mean DSC."""
        return summarise([score.to_evaluation() for score in scores])

    @property
    def best_fold(self) -> int | None:
        """The fold that did best on its own unseen cases; None if none has any."""
        scored = {fold: value for fold, value in self.by_fold.items() if value is not None}
        return max(scored, key=lambda fold: scored[fold]) if scored else None

    def metrics(self) -> dict[str, Any]:
        """Return what is stored with the model version."""
        if not self.score.cases:
            return {"folds": list(self.folds)}
        values = held_out_metrics(self.score)
        values["cases_by_structure"], values["cases"] = values.pop("cases"), values.pop("held_out_cases")
        values["examinations"] = values.pop("held_out_examinations")
        return {
            "folds": list(self.folds),
            "best_fold": self.best_fold,
            "cross_validation": {
                **values,
                "mean_dsc_by_fold": {str(key): value for key, value in self.by_fold.items()},
            },
        }

    def result(self) -> dict[str, Any]:
        """Return what is stored with the round."""
        return {
            FOLDS_KEY: list(self.folds),
            **({FAILED_KEY: {str(fold): error for fold, error in self.failed.items()}} if self.failed else {}),
            "cross_validation_mean_dsc": self.score.mean_dsc,
            "cross_validation_cases": self.score.cases,
        }
