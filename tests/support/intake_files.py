"""Small images and masks on one grid, and what an import made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Annotation
from mrseg_label.jobs import queue
from mrseg_label.worker.loop import Worker

SHAPE = (8, 9, 10)
AFFINE = np.array([[-2.0, 0, 0, 8], [0, -2.0, 0, 9], [0, 0, 3.0, -4], [0, 0, 0, 1]])


def save(path: Path, array: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def picture(seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def boxes(*values: int) -> NDArray[np.uint8]:
    """A slab of each value, in the order of the third axis."""
    mask = np.zeros(SHAPE, np.uint8)
    for place, value in enumerate(values):
        mask[1:6, 2:7, 2 * place + 1 : 2 * place + 3] = value
    return mask


def work(workspace: OpenedWorkspace) -> None:
    """Do the jobs of masks."""
    worker = Worker(workspace, (queue.LIGHT,))
    while worker.run_one():
        pass


def stored(workspace: OpenedWorkspace) -> dict[str, NDArray[Any]]:
    """The structures of each examination's annotations, as label maps of the scheme."""
    with workspace.catalog.read() as session:
        return {
            annotation.examination_id: np.asarray(nib.load(workspace.path(annotation.path)).dataobj)
            for annotation in session.scalars(select(Annotation))
        }
