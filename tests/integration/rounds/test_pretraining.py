"""Two stages: a network learns from drafts that nobody corrected, and the next round from it on corrections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models, presegmentations, training
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Annotation,
    Examination,
    ModelVersion,
    Participant,
    Presegmentation,
    Round,
    RoundDraft,
)
from mrseg_label.catalog.types import ModelStatus, RoundState, SwapState
from mrseg_label.clock import now
from mrseg_label.config import load_settings
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.service import register_upload
from mrseg_label.jobs import queue
from mrseg_label.reports.documents.rounds import RoundDetail
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds import service
from mrseg_label.rounds.pretraining import too_small
from mrseg_label.rounds.take_snapshot import take_snapshot
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import image_and_labels
from tests.support.round_cases import NAMES, annotate, round_workspace, run_round
from tests.support.round_kills import small_study, start_final
from tests.support.stored_cases import store_case


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    with round_workspace(tmp_path) as workspace:
        yield workspace


def upload_with_draft(opened: OpenedWorkspace, folder: Path, seed: int, kept: Sequence[int] = (1, 2, 3)) -> str:
    """Upload an image that nobody corrects, with a draft of some structures; returns the id of the examination."""
    image, labels, geometry = image_and_labels(seed)
    write_nifti(folder / f"image{seed}.nii.gz", image, geometry)
    identifier = register_upload(opened, Reader("ada"), folder / f"image{seed}.nii.gz", alias=f"image {seed}")
    draft = np.where(np.isin(labels, kept), labels, 0).astype(np.uint8)
    if not kept:
        draft[tuple(axis[0] for axis in np.nonzero(labels == 1))] = 1  # a single voxel
    write_nifti(folder / "draft.nii.gz", draft, geometry)
    with opened.catalog.begin() as session:
        examination = session.get_one(Examination, identifier)
        examination.acquisition.participant.held_out = False
        path = f"presegmentations/{examination.acquisition_id}/draft.nii.gz"
        session.add(
            Presegmentation(
                acquisition_id=examination.acquisition_id,
                examination_id=identifier,
                model_version="bootstrap",
                source="inverted",
                path=path,
                digest=opened.put_file(path, folder / "draft.nii.gz"),
            )
        )
    return identifier


@pytest.mark.soak
def test_the_next_round_starts_from_what_was_pretrained_on_drafts(opened: OpenedWorkspace, tmp_path: Path) -> None:
    annotate(opened, tmp_path, 1, NAMES, held_out=False)
    annotate(opened, tmp_path, 4, NAMES, held_out=True)
    good = [upload_with_draft(opened, tmp_path, seed) for seed in (11, 12)]
    missed = upload_with_draft(opened, tmp_path, 13, kept=())
    with pytest.raises(InvalidInput, match="pretraining is a round of its own"):
        service.start(opened, final=True, pretrain=True)
    first = run_round(opened, pretrain=True)
    assert first.state is RoundState.DONE, first.error
    assert first.pretrain and first.parent == "bootstrap" and first.snapshot.training == 2
    assert first.result["drafts"] == {"version": "bootstrap", "cases": 2, "left_out": 1}
    assert [entry.examination for entry in first.left_out] == [missed] and "ml of structures" in first.left_out[
        0
    ].reason
    assert not first.result["promoted"] and "the next round starts from it" in first.result["reason"]
    with opened.catalog.read() as session:
        version = models.get(session, "r1")
        assert version is not None and version.status is ModelStatus.CANDIDATE and version.record["pretrained"]
        seen = {row.acquisition_id for row in session.query(RoundDraft)}
        assert seen == {session.get_one(Examination, one).acquisition_id for one in good}
        assert not seen & {row.acquisition_id for row in session.query(Annotation)}
        assert presegmentations.by_model(session, next(iter(seen)), "r1") is None
    second = run_round(opened)
    assert second.state is RoundState.DONE, second.error
    assert second.parent == "r1" and second.result["first_weights"]["source"] == "r1"
    copied = second.result["warm_start"]
    assert copied["copied"] > 0 and not copied["skipped"]  # with the plans of the first stage every tensor fits


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_every_fold_of_a_final_round_starts_from_what_was_pretrained(tmp_path: Path) -> None:
    """Two folds go on from the first stage, until one of its participants is annotated and they start anew."""
    with small_study(tmp_path, 5) as opened:
        seen = [upload_with_draft(opened, tmp_path, seed) for seed in (11, 12)]
        assert run_round(opened, pretrain=True).model_version == "r1"

        def train_final() -> RoundDetail:
            number = start_final(opened, 2)
            worker = Worker(opened, [queue.ROUNDS])
            while worker.run_one():
                pass
            ended = read_round(opened.catalog, number)
            assert ended.state is RoundState.DONE, ended.error
            return ended

        final = train_final()
        assert final.parent == "r1" and final.result["first_weights"]["source"] == "r1"
        assert final.result["cross_validation_cases"] == 5 and final.result["folds"] == [0, 1]
        with opened.catalog.read() as session:
            copied = [row.result["report"]["warm_start"] for row in training.folds(session, final.number)]
        assert all(one["copied"] > 0 and not one["skipped"] for one in copied)

        mask = tmp_path / "draft.nii.gz"  # of the second
        names = [{"name": name} for name in NAMES]
        submit(opened, Reader("ada"), examination_id=seen[1], upload=mask, file_name=mask.name, label_info=names)
        anew = train_final()
        assert anew.parent == "bootstrap" and anew.result["first_weights"]["source"] == "random"
        assert anew.result["cross_validation_cases"] == 6 and anew.result["warm_start"] is None


def test_nothing_to_pretrain_on_is_said_at_once(opened: OpenedWorkspace) -> None:
    store_case_of_scheme(opened, "p1")
    with pytest.raises(Conflict, match="nothing to pretrain on"):
        service.start(opened, pretrain=True)


def store_case_of_scheme(opened: OpenedWorkspace, code: str) -> None:
    with opened.catalog.begin() as session:
        session.add(Participant(code=code, held_out=True))


def test_a_final_round_starts_only_from_a_first_stage_that_saw_none_of_its_participants(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    try:
        cases = [store_case(workspace, code) for code in ("p1", "p2")]
        store_case(workspace, "test", held_out=True)
        with workspace.catalog.begin() as session:
            session.add(Round(number=1, state=RoundState.DONE, profile="smoke", pretrain=True))
            session.flush()
            session.add(
                ModelVersion(version="r1", round_number=1, status=ModelStatus.CANDIDATE, path="x", created_at=now())
            )
        settings = load_settings(workspace.root)

        def parent(*, final: bool) -> str | None:
            with workspace.catalog.begin() as session:
                row = service.start_in_transaction(session, settings, actor="ada", final=final)
                found = row.parent
                session.rollback()
                return found

        assert (parent(final=False), parent(final=True)) == ("r1", "r1")
        with workspace.catalog.begin() as session:
            draft = session.query(Presegmentation).filter_by(acquisition_id=cases[0]).one()
            session.add(RoundDraft(round_number=1, presegmentation_id=draft.id, acquisition_id=cases[0]))
        assert (parent(final=False), parent(final=True)) == ("r1", "bootstrap")
        with workspace.catalog.begin() as session:  # annotated between the start of the final round and its snapshot
            session.add(Round(number=2, state=RoundState.SNAPSHOT, profile="smoke", final=True, parent="r1"))
        take_snapshot(workspace.catalog, 2, workspace)
        with workspace.catalog.begin() as session:
            row = session.get_one(Round, 2)
            changed = service.forget_parent_that_saw_cases(session, row)
            assert changed is not None and "1 participants" in changed and row.parent == "bootstrap"
        with workspace.catalog.begin() as session:  # a version that was promoted since is the better start
            current = models.current(session)
            current.promoted_at = now()
        assert parent(final=False) == "bootstrap"
    finally:
        workspace.catalog.close()


def test_too_little_is_less_than_half_the_median_of_a_station() -> None:
    assert too_small([300.0, 1000.0, 3000.0, 0.0]) == pytest.approx(500)
    assert too_small([1000.0, 1001.0, 999.0, 1000.0, 600.0]) > 900  # all alike: a fence tells more than a half
    assert too_small([]) == 0.0


def test_swapped_channels_are_no_cases_of_a_pretraining(opened: OpenedWorkspace, tmp_path: Path) -> None:
    one = upload_with_draft(opened, tmp_path, 11)
    with opened.catalog.begin() as session:
        session.get_one(Examination, one).swap = SwapState.SUSPECTED
    document = run_round(opened, pretrain=True)
    assert document.state is RoundState.FAILED
    assert document.error is not None and f"{one} (fat and water are exchanged" in document.error
