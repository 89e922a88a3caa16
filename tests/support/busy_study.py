"""A study for many simulated radiologists at once: cases with an image and a draft each, and masks as Slicer exports them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import BOOTSTRAP, Acquisition, Examination, Participant, Presegmentation
from mrseg_label.imaging import Geometry, write_nifti
from tests.support.phantom_masks import phantom

VARIANTS = 6  # of the masks
_BLOCK = np.array((20, 20, 8))  # voxels


def _blocks(seed: int, structures: int, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Blocks of all structures on a third of the image."""
    rng = np.random.default_rng(seed)
    blocks = -(-np.array(shape) // _BLOCK)
    coarse = rng.choice(np.append(np.zeros(2 * structures, dtype=np.uint8), np.arange(1, structures + 1)), blocks)
    return np.kron(coarse, np.ones(_BLOCK, dtype=np.uint8)).astype(np.uint8)[tuple(slice(n) for n in shape)]


def ragged(mask: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A label map with ragged borders."""
    rng = np.random.default_rng(seed)
    moved = np.roll(mask, 1, axis=int(rng.integers(3)))
    return np.where(rng.random(mask.shape) < 0.3, moved, mask).astype(np.uint8)


@dataclass(frozen=True)
class Study:
    """What every case has, (X, Y, Z): the image, its draft, and the masks that readers submit."""

    grid: Geometry
    image: NDArray[np.int16]
    draft: NDArray[np.uint8]
    masks: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of_blocks(cls, grid: Geometry, structures: int) -> Study:
        """Blocks that look like nothing, of any size."""
        noise = np.random.default_rng(3).integers(0, 40, grid.shape)
        draft, *masks = (ragged(_blocks(seed, structures, grid.shape), seed) for seed in range(VARIANTS + 1))
        return cls(grid, (np.indices(grid.shape).sum(axis=0) + noise).astype(np.int16), draft, tuple(masks))

    @classmethod
    def of_phantom(cls) -> Study:
        """The abdomen of a phantom, as large as one of the UK Biobank."""
        case = phantom(coarse=False)
        draft, *masks = (ragged(case.mask, seed) for seed in range(VARIANTS + 1))
        return cls(case.geometry, case.image, draft, tuple(masks))


def fill(workspace: OpenedWorkspace, folder: Path, cases: int, study: Study) -> None:
    """Cases with an image and a pre-segmentation each; their files are one, their rows are not."""
    grid = study.grid
    write_nifti(folder / "image.nii.gz", study.image, grid)
    write_nifti(folder / "draft.nii.gz", study.draft, grid)
    digest = workspace.put_file("images/0.nii.gz", folder / "image.nii.gz")
    draft_digest = workspace.put_file("presegmentations/0.nii.gz", folder / "draft.nii.gz")
    with workspace.catalog.begin() as session:
        for number in range(cases):
            for kind in ("images", "presegmentations") if number else ():
                os.link(workspace.root / kind / "0.nii.gz", workspace.root / kind / f"{number}.nii.gz")
            person = Participant(code=f"P{number:05d}")
            session.add(person)
            session.flush()
            case = Acquisition(
                participant_id=person.id,
                key=person.code,
                station=f"station {number % 5}",
                sequence="water",
                shuffle=number * 0.618 % 1,
            )
            session.add(case)
            session.flush()
            examination = Examination(
                acquisition_id=case.id, sequence="water", source="", source_digest=f"{number}", digest=digest,
                path=f"images/{number}.nii.gz", geometry=grid.to_json(),
            )  # fmt: skip
            session.add(examination)
            session.flush()
            case.primary_examination_id = examination.id
            session.add(
                Presegmentation(
                    acquisition_id=case.id, examination_id=examination.id, model_version=BOOTSTRAP, source="inverted",
                    path=f"presegmentations/{number}.nii.gz", digest=draft_digest,
                )
            )  # fmt: skip


def exported_masks(folder: Path, study: Study) -> list[Path]:
    """Label maps as Slicer exports them: int16, compressed NRRD."""
    made = []
    for variant, voxels in enumerate(study.masks):
        mask = sitk.GetImageFromArray(voxels.transpose(2, 1, 0).astype(np.int16))
        lps = np.diag([-1.0, -1.0, 1.0]) @ study.grid.affine[:3]
        spacing = np.linalg.norm(lps[:, :3], axis=0)
        mask.SetSpacing(spacing.tolist())
        mask.SetDirection((lps[:, :3] / spacing).ravel().tolist())
        mask.SetOrigin(lps[:, 3].tolist())
        made.append(folder / f"label-{variant}.nrrd")
        sitk.WriteImage(mask, str(made[-1]), useCompression=True)
    return made
