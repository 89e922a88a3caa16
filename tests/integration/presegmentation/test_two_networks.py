"""A mixture of two real networks, from the annotations of round 0: whose labels have other ids, and which is better for what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models, presegmentations
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Job, ModelVersion, Presegmentation, SourceScore
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.jobs.draft_jobs import enqueue_presegmentation
from mrseg_label.presegmentation.loaded_networks import LoadedNetworks
from mrseg_label.presegmentation.sources import Source
from mrseg_label.segments.files import read_label_map
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import image_and_labels
from tests.support.tiny_weights import write_tiny_model

SETTINGS = """DEVICE = "cpu"
BOOTSTRAP_SOURCES = "*=model:a+model:b"
PREPARE_AHEAD = 0
[clean_up]
places = false
edges = false
sides = false
components = false
"""
LABELS = {"a": {"liver": 1, "spleen": 2, "heart": 3}, "b": {"heart": 1, "liver": 2, "spleen": 3}}
BETTER = {"liver": "b", "spleen": "a"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=SETTINGS)
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        with workspace.catalog.begin() as session:
            for seed, (name, labels) in enumerate(LABELS.items()):
                write_tiny_model(workspace.models / name, labels, seed=seed)
                path = next(workspace.models.glob(f"{name}/*/*")).relative_to(workspace.root).as_posix()
                session.add(ModelVersion(version=name, status=ModelStatus.CANDIDATE, path=path))
        for seed in range(4):
            image, _, geometry = image_and_labels(seed, (20, 16, 18), (7.0, 8.0, 9.0))
            (tmp_path / f"images/p{seed}").mkdir(parents=True)
            write_nifti(tmp_path / f"images/p{seed}/abdomen_in.nii.gz", image, geometry)
        options = ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz")
        assert not import_paths(workspace, [tmp_path / "images"], options).refused
        yield workspace


def work(workspace: OpenedWorkspace, worker: Worker) -> None:
    """Run the jobs that are queued, and those that they enqueue."""
    while worker.run_one():
        pass
    with workspace.catalog.read() as session:
        assert {job.state for job in session.query(Job)} == {"done"}, [job.error for job in session.query(Job)]


def draft_of(workspace: OpenedWorkspace, worker: Worker, case: Examination) -> tuple[Presegmentation, NDArray[Any]]:
    with workspace.catalog.begin() as session:
        enqueue_presegmentation(session, case.acquisition_id, models.current(session).version, queue.REQUESTED_PRIORITY)
    work(workspace, worker)
    with workspace.catalog.read() as session:
        draft = presegmentations.best(session, case.acquisition_id)
    assert draft is not None
    return draft, read_label_map(workspace.path(draft.path))[0]


def test_annotations_before_the_first_round_choose_between_two_networks(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    worker = Worker(opened, queue.QUEUES, ())
    with opened.catalog.read() as session:
        *annotated, last = session.query(Examination).order_by(Examination.source).all()
    networks = LoadedNetworks(opened, "cpu")

    def made_by(name: str, case: Examination) -> NDArray[np.uint8]:
        return networks.segment(Source.of_version(name), opened.path(case.path)).label_map

    scheme = opened.scheme
    first, _ = draft_of(opened, worker, annotated[0])
    assert first.details is not None and first.details["mixture"]["measures"]  # nothing is annotated: by agreement
    for case in annotated:
        found = {name: made_by(name, case) for name in LABELS}
        truth = np.zeros_like(found["a"])
        for value, (structure, network) in enumerate(BETTER.items(), start=1):
            truth[found[network] == scheme[structure].id] = value
        nib.save(nib.Nifti1Image(truth, Geometry.from_json(case.geometry).affine), tmp_path / "label.nii.gz")
        names = [{"name": name, "idx": value} for value, name in enumerate(BETTER, start=1)]
        submit(
            opened,
            Reader("ada"),
            examination_id=case.id,
            upload=tmp_path / "label.nii.gz",
            file_name="label.nii.gz",
            label_info=names,
        )
        work(opened, worker)
    with opened.catalog.read() as session:
        measured = [(score.annotation_id, score.source) for score in session.query(SourceScore)]
        ids = [annotation.id for annotation in session.query(Annotation)]
    assert sorted(measured) == sorted((one, name) for one in ids for name in LABELS)

    draft, mask = draft_of(opened, worker, last)
    mixture = (draft.details or {})["mixture"]
    assert {name: mixture["structures"][name] for name in BETTER} == BETTER
    assert set(mixture["reasons"]) == {"liver"} and mixture["reasons"]["liver"]["participants"] == 3
    found = {name: made_by(name, last) for name in LABELS}
    liver, spleen = scheme["liver"].id, scheme["spleen"].id
    claimed = {liver: found["b"] == liver, spleen: found["a"] == spleen}
    for number, other in ((liver, spleen), (spleen, liver)):
        assert claimed[number].any() and not (mask == number)[~claimed[number]].any()
        contested = claimed[liver] & claimed[spleen]
        assert np.isin(mask[claimed[number] & ~contested], (number, scheme["heart"].id)).all(), other
