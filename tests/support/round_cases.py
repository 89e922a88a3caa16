"""Workspaces of a few annotated cases, whose rounds are real trainings of seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.service import register_upload
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.reports.documents.rounds import RoundDetail
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds import run, service
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import SCHEME, image_and_labels

NAMES = list(SCHEME.names)
# There are no weights for pre-segmentations, so structures that were not annotated cannot be filled.
SETTINGS = 'AUTH = "off"\nTRAINING_PROFILE = "smoke"\nDEVICE = "cpu"\nTOTALSEG_WEIGHTS_PATH = "{}"\n'


@contextmanager
def round_workspace(folder: Path) -> Iterator[OpenedWorkspace]:
    """An empty workspace in ``folder/ws`` for rounds of profile ``smoke``."""
    (folder / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(folder / "ws", folder / "labels.tsv", SETTINGS.format(folder / "no-weights"))
    workspace = open_workspace(folder / "ws")
    try:
        yield workspace
    finally:
        workspace.close()


def annotate(
    opened: OpenedWorkspace, folder: Path, seed: int, names: list[str], held_out: bool, **grid: tuple[Any, Any, Any]
) -> str:
    """Upload an image, submit its mask with these structures, and return the id of the acquisition."""
    image, labels, geometry = image_and_labels(seed, **grid)
    write_nifti(folder / f"image{seed}.nii.gz", image, geometry)
    mask = folder / "mask.nii.gz"
    write_nifti(mask, np.where(labels <= len(names), labels, 0).astype(np.uint8), geometry)
    examination = register_upload(opened, Reader("ada"), folder / f"image{seed}.nii.gz", alias=f"image {seed}")
    sent = submit(opened, Reader("ada"), examination_id=examination, upload=mask, file_name=mask.name, label_info=[{"name": name} for name in names])  # fmt: skip
    with opened.catalog.begin() as session:
        case = session.get(Acquisition, sent.acquisition_id)
        assert case is not None
        case.participant.held_out = held_out
    return sent.acquisition_id


def run_round(workspace: OpenedWorkspace, *, pretrain: bool = False) -> RoundDetail:
    number = service.start(workspace, pretrain=pretrain)
    held = claim(workspace.catalog, [queue.ROUNDS])
    assert held is not None
    try:
        run.run(JobContext(workspace, held, {}))
    except InvalidInput:
        with workspace.catalog.begin() as session:
            held.fail(workspace.catalog, session, "failed", retry=False)
    return read_round(workspace.catalog, number)
