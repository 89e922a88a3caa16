"""A small workspace with a case to correct, for tests of submissions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.service import submit
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Examination, Participant, Presegmentation
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace

GRID = Geometry((6, 7, 8), np.diag([-2.0, -2.5, 3.0, 1.0]))


@dataclass
class House:
    """A workspace with one acquisition of two channels and a pre-segmentation."""

    workspace: OpenedWorkspace
    examination: str
    other_channel: str
    acquisition: str
    folder: Path

    @property
    def catalog(self) -> Catalog:
        """The catalogue of the workspace."""
        return self.workspace.catalog

    def send(
        self,
        array: NDArray[np.uint8],
        *names: str,
        client: str = "user-xyz",
        user: str | None = None,
        examination: str | None = None,
        file_name: str = r"C:\Users\Ada Müller\AppData\Temp\..\label.nii.gz",
    ) -> Submitted:
        path = self.folder / f"up-{np.random.default_rng().integers(1 << 60)}.nii.gz"
        nib.save(nib.Nifti1Image(array, GRID.affine), path)
        return submit(
            self.workspace,
            Reader(client, user),
            examination_id=examination or self.examination,
            upload=path.rename(path.with_suffix(".bin")),
            file_name=file_name,
            label_info=[{"name": name, "idx": 77} for name in names],
        )

    def stored(self) -> set[str]:
        return {str(p.relative_to(self.workspace.root)) for p in (self.workspace.root / "annotations").rglob("*.*")}

    def take(self, client: str = "user-xyz", user: str | None = None) -> None:
        assert assign_next_case(self.workspace, Reader(client, user), "balanced") is not None


def draft_array() -> NDArray[np.uint8]:
    """Spleen (1) and liver (5) in two blocks."""
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[0:2], array[4:6] = 1, 5
    return array


def make_house(tmp_path: Path, settings: str) -> Iterator[House]:
    Workspace.init(tmp_path / "ws", settings_text=settings)
    workspace = open_workspace(tmp_path / "ws")
    image = tmp_path / "image.nii.gz"
    write_nifti(image, np.arange(6 * 7 * 8, dtype=np.int16).reshape(GRID.shape), GRID)
    presegmentation = tmp_path / "draft.nii.gz"
    write_nifti(presegmentation, draft_array(), GRID)
    with workspace.catalog.begin() as session:
        participant = Participant(code="P1")
        session.add(participant)
        session.flush()
        acquisition = Acquisition(
            participant_id=participant.id, key='["P1", "", "abdomen", 1]', station="abdomen", sequence="in", shuffle=0.3
        )
        session.add(acquisition)
        session.flush()
        ids = []
        for channel in ("in", "water"):
            digest = workspace.put_file(f"images/{channel}.nii.gz", image)
            examination = Examination(
                acquisition_id=acquisition.id, sequence=channel, source="", source_digest=digest,
                path=f"images/{channel}.nii.gz", digest=digest, geometry=GRID.to_json(),
            )  # fmt: skip
            session.add(examination)
            session.flush()
            ids.append(examination.id)
        acquisition.primary_examination_id = ids[0]
        digest = workspace.put_file("presegmentations/d.nii.gz", presegmentation)
        session.add(
            Presegmentation(
                acquisition_id=acquisition.id, examination_id=ids[0], model_version="bootstrap", source="inverted",
                path="presegmentations/d.nii.gz", digest=digest,
            )
        )  # fmt: skip
    (tmp_path / "sent").mkdir()
    yield House(workspace, ids[0], ids[1], acquisition.id, tmp_path / "sent")
    workspace.catalog.close()
