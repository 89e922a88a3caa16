"""Give a case of tests/support/study_rows.py the files that its rows name, so that it can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant, Presegmentation
from mrseg_label.files import sha256_of
from mrseg_label.imaging import Geometry, load_image, reorient, write_nifti
from mrseg_label.segments.files import read_label_map
from tests.support.paths import ROOT

BOX_GRID = Geometry((24, 20, 16), np.array([[4.0, 0, 0, -46], [0, 4, 0, -38], [0, 0, 5, -40], [0, 0, 0, 1]]))
MARKER, OTHER = np.s_[18:21, 9:13, 6:11], np.s_[3:8, 9:13, 6:11]  # on the right and on the left of the patient


def marked_phantom(axcodes: str) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8], Geometry]:
    """A grey block with a bright marker on its right side: image, draft, annotation and grid, stored with these axes.

    The draft has structure 1 at the marker and structure 2 on the left; the annotation has structure 3 at the marker.
    """
    image = np.zeros(BOX_GRID.shape, dtype=np.int16)
    image[2:22, 2:18, 1:15] = 200
    image[MARKER] = 1000
    draft = np.zeros(BOX_GRID.shape, dtype=np.uint8)
    draft[MARKER], draft[OTHER] = 1, 2
    annotation = draft.copy()
    annotation[MARKER] = 3
    stored, geometry = reorient(image, BOX_GRID, axcodes)
    return stored, reorient(draft, BOX_GRID, axcodes)[0], reorient(annotation, BOX_GRID, axcodes)[0], geometry


def give_files(
    workspace: OpenedWorkspace,
    code: str,
    images: Mapping[str, NDArray[Any]],
    geometry: Geometry,
    draft: NDArray[np.uint8] | None = None,
    annotation: NDArray[np.uint8] | None = None,
) -> str:
    """Write the files of a participant's first case that has the masks; images by sequence. Returns the id of its primary examination."""
    with workspace.catalog.begin() as session:
        found = session.query(Acquisition).join(Participant).filter(Participant.code == code)
        if annotation is not None:
            found = found.join(Annotation, Annotation.acquisition_id == Acquisition.id)
        case = found.order_by(Acquisition.id).first()
        assert case is not None and case.primary_examination_id is not None
        rows = {row.sequence: row for row in session.query(Examination).filter_by(acquisition_id=case.id)}
        for sequence, array in images.items():
            rows[sequence].geometry = geometry.to_json()
            _write(workspace, rows[sequence], array, geometry)
        for table, mask in ((Presegmentation, draft), (Annotation, annotation)):
            row = session.query(table).filter_by(acquisition_id=case.id).first()
            if row is not None and mask is not None:
                _write(workspace, row, mask, geometry)
        return case.primary_examination_id


def give_sample(workspace: OpenedWorkspace, code: str) -> str:
    """Give a case the phantom's images of sample-data/, its truth as annotation, and a draft with errors."""
    images, geometry = {}, None
    for path in sorted((ROOT / "sample-data" / "mr" / "P001").glob("abdomen_*.nii.gz")):
        images[path.name.split(".")[0].removeprefix("abdomen_")], geometry, _ = load_image(path)
    assert geometry is not None
    truth, _ = read_label_map(ROOT / "sample-data" / "truth" / "mr" / "P001" / "abdomen.nii.gz")
    liver, spleen, kidney = (workspace.scheme[name].id for name in ("liver", "spleen", "left_kidney"))
    draft = truth.copy()
    whole = draft == liver
    draft[whole & ~np.roll(whole, 6, axis=0)] = 0
    draft[(draft == spleen) & (np.cumsum(draft == spleen, axis=2) > 4)] = kidney
    draft[(draft == 0) & np.roll(truth == kidney, -3, axis=1)] = kidney
    return give_files(workspace, code, images, geometry, draft, truth)


def _write(workspace: OpenedWorkspace, row: Any, array: NDArray[Any], geometry: Geometry) -> None:
    path: Path = workspace.path(row.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, array, geometry)
    row.digest = sha256_of(path)
