"""A workspace whose catalogue holds a study in full swing: two rounds done, one that trains, and readers at work."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models, readings, suspicions
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import Reason
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Assignment,
    Job,
    ModelVersion,
    Round,
    RoundFold,
    RoundLog,
)
from mrseg_label.catalog.types import AnnotationState, CaseRole, FoldState, JobKind, JobState, ModelStatus, RoundState
from mrseg_label.clock import now
from mrseg_label.ids import new_id
from mrseg_label.nnunet.environment import READER
from mrseg_label.rounds.card import make_card
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_evaluation, add_participant, add_round

SETTINGS = 'AUTH = "off"\nWORKERS = 0\nROUND_SIZE = 12\n'
STATIONS = ("thorax", "abdomen", "pelvis")
QUALITY = {"bootstrap": 0.52, "r1": 0.74, "r2": 0.83}  # mean DSC
EDITED = {"bootstrap": 41_000, "r1": 14_500, "r2": 8_200}  # voxels per case
SECONDS = {"bootstrap": 2460.0, "r1": 1310.0, "r2": 840.0}  # per case
STRUCTURES = ("liver", "spleen", "left_kidney", "right_kidney", "pancreas", "stomach", "aorta", "gallbladder")
HELD_OUT, TRAINING, WAITING = 7, 11, 4  # participants
_MACHINE = {"gpu": "NVIDIA A40", "memory_gb": 48}
_PROGRAMS = {"mrseg-label": "0.2.0", "nnunetv2": "2.8.1", "torch": "2.15.0"}


@contextmanager
def study(folder: Path, settings: str = SETTINGS) -> Iterator[OpenedWorkspace]:
    """The workspace in ``folder/study``."""
    Workspace.init(folder / "study", settings_text=settings)
    workspace = open_workspace(folder / "study")
    try:
        with workspace.catalog.begin() as session:
            fill(session, workspace)
        yield workspace
    finally:
        workspace.close()


def fill(session: Session, workspace: OpenedWorkspace) -> None:
    """Add the rows of the study."""
    draw = random.Random(4)
    models.ensure_bootstrap(session)
    bootstrap = models.current(session)
    bootstrap.created_at = bootstrap.promoted_at = now() - timedelta(days=30)
    held_out = [_annotate(session, draw, case, "bootstrap") for case in _add_cases(session, "H", HELD_OUT, True)]
    cases = _add_cases(session, "P", TRAINING, False)
    drafted = {"bootstrap": cases[:11], "r1": cases[11:23], "r2": cases[23:]}
    training: list[Annotation] = []
    _evaluate(session, draw, "bootstrap", held_out)
    for number, version in enumerate(QUALITY):
        if number:
            row = add_round(session, number, _roles(training, held_out))
            _finish(session, workspace, row, version, training)
            _evaluate(session, draw, version, held_out)
        training += [_annotate(session, draw, case, version) for case in drafted[version]]
    row = add_round(session, 3, _roles(training, held_out), RoundState.TRAINING)
    _train(session, row)
    row.training = {"folds": 1, "epochs": 50, "iterations_per_epoch": 250, "target_spacing_mm": 3.0}  # of a profile
    _assign(session, _add_cases(session, "W", WAITING, False))
    for case in _add_cases(session, "R", 1, False)[:2]:  # these two await review
        annotation = _annotate(session, draw, case, "r2")
        annotation.author, annotation.state, case.annotated_at = "ada", AnnotationState.SUBMITTED, None
    _read_twice(session, draw, held_out[:6])
    _suspect(session, training[-3:])


def _read_twice(session: Session, draw: random.Random, annotations: Sequence[Annotation]) -> None:
    """Let another reader read these cases too, and let a worker have measured how far the two agree."""
    for one in annotations:
        other = {"ada": "bert", "bert": "chen", "chen": "ada"}[one.author]
        second = Annotation(
            acquisition_id=one.acquisition_id, examination_id=one.examination_id, number=2, state=AnnotationState.ACCEPTED, author=other,
            client=other, path=f"{one.path}-2", digest=new_id("x").ljust(64, "0"), upload_path="u", upload_digest="u", is_final=False,
            presegmentation_id=one.presegmentation_id,
            structures=[AnnotationStructure(structure=each.structure, state=each.state, voxels=98) for each in one.structures],
        )  # fmt: skip
        one.digest = new_id("x").ljust(64, "0")
        session.add(second)
        measured = {
            name: {
                "dsc": min(0.99, draw.gauss(0.92 - 0.015 * k, 0.02)),
                "hd95_mm": abs(draw.gauss(3 + k, 1)),
                "nsd": min(0.99, 0.95 - 0.01 * k),
                "counts": True,
            }
            for k, name in enumerate(STRUCTURES)
        }
        readings.store(session, readings.ordered(one.digest, second.digest), measured, now())
    session.flush()


def _suspect(session: Session, annotations: Sequence[Annotation]) -> None:
    """Let a worker have found something about these annotations."""
    kinds = suspicions.SuspicionKind
    reasons = (
        [Reason(kinds.VOLUME, "liver", "3,914 ml, 2.4 times the median of 31 other masks of thorax (1,612 ml)", 0.71),
         Reason(kinds.POSITION, "spleen", "its centre lies 41 mm from where other masks of thorax show it, towards the feet", 0.68),
         Reason(kinds.EDITS, "", "61,204 voxels were changed, far more than the median of 10 other drafts of r2 (8,114)", 0.3)],
        [Reason(kinds.UNCHANGED, "", "the draft of r2 was accepted unchanged after 14 s", 0.3)],
        [Reason(kinds.EMPTY, "left_kidney", "marked absent; 30 of 31 other masks of pelvis have it", 0.7)],
    )  # fmt: skip
    found = {(MaskKind.ANNOTATION, one.id): some for one, some in zip(annotations, reasons, strict=True)}
    suspicions.replace(session, found, now())
    session.flush()


def _add_cases(session: Session, prefix: str, participants: int, held_out: bool) -> list[Acquisition]:
    found = []
    for number in range(1, participants + 1):
        person = add_participant(session, f"{prefix}{number:03}", held_out=held_out)
        person.sex, person.age = ("female", "male")[number % 2], 41.0 + 3 * number
        found += [add_acquisition(session, person, station=station) for station in STATIONS]
    return found


def _annotate(session: Session, draw: random.Random, case: Acquisition, version: str) -> Annotation:
    scores = {
        name: min(0.99, max(0.05, draw.gauss(QUALITY[version] - 0.03 * k, 0.05))) for k, name in enumerate(STRUCTURES)
    }
    annotation = add_annotation(
        session,
        case,
        model_version=version,
        edited=int(EDITED[version] * draw.uniform(0.7, 1.3)),
        presegmentation_dsc=sum(scores.values()) / len(scores),
        structures=scores,
        seconds=SECONDS[version] * draw.uniform(0.8, 1.2),
    )
    annotation.author = ("ada", "bert", "chen")[draw.randrange(3)]
    return annotation


def _evaluate(session: Session, draw: random.Random, version: str, held_out: Sequence[Annotation]) -> None:
    apart: dict[str, float] = {}  # participants differ from each other in what a version gains
    for annotation in held_out:
        person = session.get_one(Acquisition, annotation.acquisition_id).participant_id
        gain = apart.setdefault(person, draw.gauss(0.0, 0.04))
        lost = 0.09 if version == "r2" else 0.0  # the gallbladder got worse
        scores: dict[str, float | None] = {}
        for k, name in enumerate(STRUCTURES):
            scores[name] = draw.gauss(QUALITY[version] + gain - 0.02 * k - (lost if name == "gallbladder" else 0), 0.02)
        values = [value for value in scores.values() if value is not None]
        add_evaluation(session, version, annotation, sum(values) / len(values), scores)


def _roles(training: Sequence[Annotation], held_out: Sequence[Annotation]) -> list[tuple[Annotation, CaseRole]]:
    return [(one, CaseRole.TRAINING) for one in training] + [(one, CaseRole.HELD_OUT) for one in held_out]


def _finish(
    session: Session, workspace: OpenedWorkspace, row: Round, version: str, training: Sequence[Annotation]
) -> None:
    """Let a round be done: with its model version, its curve and its log."""
    parent = "bootstrap" if row.number == 1 else f"r{row.number - 1}"
    present = models.current(session)
    present.status = ModelStatus.RETIRED
    session.flush()
    row.parent, row.started_at = parent, now() - timedelta(days=9 - 3 * row.number)
    row.finished_at = row.started_at + timedelta(hours=5, minutes=12)
    # One number for all axes, as profiles of small networks have it, or three.
    spacing = [3.0, 3.0, 3.0] if row.number == 2 else 6.0
    row.training = {"folds": 1, "epochs": 50, "iterations_per_epoch": 250, "target_spacing_mm": spacing}
    reason = f"better: mean DSC {QUALITY[version]:.3f} against {QUALITY[parent]:.3f} of {parent} on 21 held-out cases"
    row.result = {"model_version": version, "promoted": True, "reason": reason, "warnings": []}
    used = [channel.id for one in training for channel in session.get_one(Acquisition, one.acquisition_id).examinations]
    session.add(
        ModelVersion(
            version=version,
            round_number=row.number,
            parent=parent,
            status=ModelStatus.CURRENT,
            path=_write_plans(workspace, version),
            dataset_digest="a" * 64,
            weights_digest="b" * 64,
            record={"profile": "fast", "seed": 17 + row.number, "machines": [_MACHINE], "programs": _PROGRAMS, "seconds": {"training": 17_220.0}},
            card=make_card(session, row, workspace.scheme, used, {}),
            promoted_at=row.finished_at,
            tried_at=row.finished_at,
            created_at=row.finished_at,
        )
    )  # fmt: skip
    curve = _curve(50)
    session.add(RoundFold(round_number=row.number, fold=0, state=FoldState.DONE, curve=curve, progress=_progress(curve, 50)))  # fmt: skip
    session.add(RoundLog(round_number=row.number, fold=None, text="".join(f"Epoch {one['epoch']}: train_loss {one['train_loss']}\n" for one in curve)))  # fmt: skip
    session.flush()


def _write_plans(workspace: OpenedWorkspace, version: str) -> str:
    """Write of a version's files what says how it takes its images; returns its folder."""
    folder = workspace.models / version / "Dataset101_Study" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": READER}))
    return folder.relative_to(workspace.root).as_posix()


def _train(session: Session, row: Round) -> None:
    """Let a round be in the middle of its training."""
    curve = _curve(18)
    row.parent, row.started_at, row.finished_at = "r2", now() - timedelta(hours=1, minutes=20), None
    # One number for all axes, as profiles of small networks have it, or three.
    spacing = [3.0, 3.0, 3.0] if row.number == 2 else 6.0
    row.training = {"folds": 1, "epochs": 50, "iterations_per_epoch": 250, "target_spacing_mm": spacing}
    progress = _progress(curve, 50)
    row.progress = {**progress, "fold": 0, "folds": 1, "seconds": 4800.0}
    job = Job(kind=JobKind.TRAIN_ROUND, queue="rounds", key=str(row.number), payload={"round": row.number}, state=JobState.RUNNING, owner="gpu-node-2:4711:1", lease_token="t", lease_expires_at=now() + timedelta(hours=1), started_at=row.started_at)  # fmt: skip
    session.add(job)
    session.flush()
    row.job_id = job.id
    session.add(RoundFold(round_number=row.number, fold=0, state=FoldState.RUNNING, curve=curve, progress=progress))
    text = "".join(f"Epoch {one['epoch']}: train_loss {one['train_loss']}, pseudo-Dice {one['pseudo_dice']}\n" for one in curve)  # fmt: skip
    session.add(RoundLog(round_number=row.number, fold=None, text=text))
    session.flush()


def _curve(epochs: int) -> list[dict[str, Any]]:
    points = []
    average = 0.0
    for epoch in range(1, epochs + 1):
        falling, wave = math.exp(-epoch / 12), 0.02 * math.sin(epoch * 1.7)
        dice = 0.88 * (1 - falling) + wave
        average = dice if epoch == 1 else 0.9 * average + 0.1 * dice
        points.append(
            {
                "epoch": epoch,
                "train_loss": round(-0.82 + 0.95 * falling + wave / 2, 4),
                "validation_loss": round(-0.74 + 0.9 * falling - wave, 4),
                "pseudo_dice": round(max(dice, 0.0), 4),
                "pseudo_dice_average": round(max(average, 0.0), 4),
                "learning_rate": round(0.01 * (1 - epoch / 60) ** 0.9, 6),
                "seconds": 260.0,
            }
        )
    return points


def _progress(curve: Sequence[dict[str, Any]], epochs: int) -> dict[str, Any]:
    last = curve[-1]
    return {
        "stage": "training",
        "epoch": last["epoch"],
        "epochs": epochs,
        "loss": last["train_loss"],
        "pseudo_dice": last["pseudo_dice_average"],
        "fraction": round(last["epoch"] / epochs, 4),
        "seconds_left": 260.0 * (epochs - last["epoch"]),
    }


def _assign(session: Session, cases: Sequence[Acquisition]) -> None:
    for number, (reader, case) in enumerate(zip(("ada", "bert", "chen"), cases, strict=False)):
        session.add(
            Assignment(
                ticket=f"ticket-{number}",
                acquisition_id=case.id,
                client=reader,
                account=reader,
                expires_at=now() + timedelta(hours=22 - 5 * number),
            )
        )
    session.flush()
