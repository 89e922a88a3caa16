"""Progress and result of a round, as the OpenAPI document describes them.

The rounds of earlier versions have other values too, and some have fewer: a document shows what is stored, and these
models only describe it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from mrseg_label.reports.documents.base import JsonObject


class FoldProgress(BaseModel):
    """How far the training of a fold is; empty before it begins."""

    model_config = {
        "extra": "allow",
        "json_schema_extra": {
            "examples": [
                {
                    "stage": "training", "epoch": 12, "epochs": 50, "iteration": 3104, "iterations": 12500, "loss": -0.71,
                    "pseudo_dice": 0.83, "learning_rate": 0.0078, "seconds_left": 5790.0, "fraction": 0.2483,
                }
            ]
        },
    }  # fmt: skip
    stage: str = Field(
        "", description="drafts, starting, planning, preprocessing, training, exporting, evaluating or done"
    )
    fraction: float = Field(0.0, description="of the stage or, while training, of the training; 0 to 1")
    epoch: int = Field(0, description="epochs that are done of this fold")
    epochs: int = Field(0, description="number of epochs of a fold")
    iteration: int = Field(0, description="iterations that are done of this fold")
    iterations: int = Field(0, description="number of iterations of a fold")
    loss: float | None = Field(None, description="latest training loss")
    pseudo_dice: float | None = Field(
        None, description="nnU-Net's moving average of the DSC of validation patches; null before the first epoch"
    )
    learning_rate: float | None = Field(None, description="of the latest iteration")
    seconds_left: float | None = Field(None, description="estimated time until the training ends")


class RoundProgress(FoldProgress):
    """How far a round is; empty before it begins. Each stage has only the values that it knows."""

    model_config = {
        "extra": "allow",
        "json_schema_extra": {
            "examples": [
                {
                    "stage": "training", "fold": 0, "folds": 1, "epoch": 12, "epochs": 50, "loss": -0.71, "pseudo_dice": 0.83,
                    "learning_rate": 0.0078, "seconds_left": 5790.0, "fraction": 0.2483, "seconds": 1830.5,
                }
            ]
        },
    }  # fmt: skip
    fold: int | None = Field(None, description="number of the fold that is trained now, if the round trains one")
    folds_done: int = Field(0, description="number of folds that are trained, in a round of several")
    folds: int | None = Field(None, description="number of folds of the round")
    cases: int = Field(0, description="number of cases of the stage")
    seconds: float = Field(0.0, description="since this attempt began")


class RoundResult(BaseModel):
    """What a round led to; the label maps are described before the training, the rest at its end."""

    model_config = {
        "extra": "allow",
        "json_schema_extra": {
            "examples": [
                {
                    "model_version": "r3", "promoted": True,
                    "reason": "better: mean DSC 0.871 against 0.842 of r2 on 12 held-out cases",
                    "mean_dsc": 0.871, "current_mean_dsc": 0.842, "held_out_cases": 12,
                    "cases_reused": 100, "cases_preprocessed": 50, "seconds": {"training": 5200.1, "round": 5710.4},
                }
            ]
        },
    }  # fmt: skip
    model_version: str = Field("", description="model version that it registered")
    promoted: bool = Field(False, description="whether that version makes the pre-segmentations")
    uncertain: bool = Field(False, description="whether noise could be the reason of the difference")
    reason: str = Field("", description="why it was promoted or not")
    comparison: dict[str, Any] | None = Field(
        None,
        description="the new version against the current one as in `GET /api/v1/models/{version}/compare/{other}`: "
        "`difference` (mean, low, high, p, participants), `groups`, `margin`, `false_positive_ml`",
    )
    mean_dsc: float | None = Field(None, description="of the new version, on held-out cases that both versions have")
    current_mean_dsc: float | None = Field(None, description="of the version that was current, on the same cases")
    held_out_cases: int = Field(0, description="number of these cases")
    rule: str = Field("", description="how the means are taken")
    cases_reused: int = Field(0, description="cases whose preprocessing of an earlier round was used")
    cases_preprocessed: int = Field(0, description="cases that were preprocessed")
    planned_anew: str = Field("", description="why nnU-Net's plans of earlier rounds no longer suited the images")
    warm_start: dict[str, Any] | None = Field(None, description="which weights came from the parent")
    first_weights: dict[str, Any] | None = Field(
        None, description="`source` of the network's first weights, the `licences` in their lineage, and a `warning`"
    )
    folds: list[int] = Field([], description="folds of the version, if the round trained several")
    failed_folds: dict[str, str] = Field({}, description="reasons by fold, for those that are missing in the version")
    cross_validation_mean_dsc: float | None = Field(
        None, description="mean DSC of each case by the fold that has not seen it"
    )
    cross_validation_cases: int = Field(0, description="number of these cases")
    damaged: list[str] = Field([], description="own files that were damaged, and what was done instead")
    warnings: list[str] = Field(
        [],
        description="what an administrator should know of the training: a CPU in the place of a GPU, a warm start without effect",
    )
    doubts: list[dict[str, Any]] = Field(
        [],
        description="masks of the snapshot, as they were filled, whose sides or directions are doubtful: `annotation`, `examination`, "
        "`doubts`; they were used",
    )
    labels: dict[str, Any] = Field(
        {}, description="how the label maps were made: structures, what was filled or ignored"
    )
    filling: dict[str, dict[str, str]] = Field(
        {}, description="by annotation, the pre-segmentation that each structure is filled from; fixed in the snapshot"
    )
    filling_scores: dict[str, Any] = Field(
        {}, description="by structure that was not annotated everywhere: the DSC of each version, of how many cases"
    )
    drafts: dict[str, Any] = Field(
        {},
        description="of a pretraining: the version that made the drafts, how many it learns from, how many were left out",
    )
    parent_changed: str = Field("", description="why it does not start from the version that it was to start from")
    swapped: list[str] = Field(
        [], description="examinations that the snapshot left out, since fat and water are exchanged, or may be"
    )
    not_labelled: dict[str, str] = Field(
        {}, description="examinations of annotated acquisitions that carry no mask in the snapshot, with the reasons"
    )
    propagated: int = Field(
        0, description="training examinations whose mask was drawn on another image of their acquisition"
    )
    fill_from: dict[str, str] = Field(
        {}, description="pre-segmentation by annotation that lacked one of its own; of rounds of version 0.1.0"
    )
    seconds: dict[str, float] = Field({}, description="by part of the training, and of the whole round")


FoldProgressValues = Annotated[JsonObject, WithJsonSchema(FoldProgress.model_json_schema())]
ProgressValues = Annotated[JsonObject, WithJsonSchema(RoundProgress.model_json_schema())]
ResultValues = Annotated[JsonObject, WithJsonSchema(RoundResult.model_json_schema())]
