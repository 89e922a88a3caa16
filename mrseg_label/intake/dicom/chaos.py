"""CHAOS: series of DICOM with ground truth in one PNG for each slice.

    Train_Sets/MR/1/T1DUAL/DICOM_anon/{InPhase,OutPhase}/IMG-0004-00002.dcm    Train_Sets/MR/1/T1DUAL/Ground/IMG-0004-00002.png
    Train_Sets/MR/1/T2SPIR/DICOM_anon/IMG-0002-00001.dcm                       Train_Sets/MR/1/T2SPIR/Ground/IMG-0002-00001.png
    Train_Sets/CT/1/DICOM_anon/i0000,0000b.dcm                                 Train_Sets/CT/1/Ground/liver_GT_000.png

MR has liver, both kidneys and the spleen, CT the liver alone; nothing is known of any other structure. The patients of MR
and CT are others. The UIDs of the anonymised files differ within a series, so that the folder says what belongs together.

References
----------
Kavur AE, et al. CHAOS challenge: combined (CT-MR) healthy abdominal organ segmentation. Med Image Anal 2021.
doi 10.1016/j.media.2020.101950; data set: doi 10.5281/zenodo.3431873.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom import Frame
from mrseg_label.imaging.dicom.patient import Patient
from mrseg_label.intake.images import MaskLabels

GROUND = "Ground"
MR_LABELS: MaskLabels = [(1, "liver"), (2, "right kidney"), (3, "left kidney"), (4, "spleen")]
CT_LABELS: MaskLabels = [(1, "liver")]
# Values of the PNGs of MR, lowest and highest, in the order of the labels.
_MR_VALUES = ((55, 70), (110, 135), (175, 200), (240, 255))
_DICOM = "DICOM_anon"
_SEQUENCES = {"inphase": "in", "outphase": "opp", "t2spir": "t2", "ct": "ct"}


def parse_path(path: PurePath) -> dict[str, str]:
    """Return participant, session and sequence of a file of CHAOS; empty where it is no such file."""
    folder = _folder_of(path)
    if folder is None:
        return {}
    modality, number, kind = folder
    below = path.parent.name if path.parent.name != _DICOM else kind
    return {
        "participant": f"chaos_{modality.lower()}_{number}",
        "session": kind if modality == "MR" else "",
        "sequence": _SEQUENCES.get(below.casefold(), ""),
    }


def join_series(frames: Sequence[Frame], paths: Mapping[str, Path]) -> list[Frame]:
    """Give the frames of each folder of CHAOS one series, and those of each patient one study; leave others as they are.

    Parameters
    ----------
    paths : of the files, by the names that the frames have.
    """
    joined = []
    patients: dict[str, Patient] = {}
    for frame in frames:
        path = paths.get(frame.file)
        folder = None if path is None else _folder_of(path)
        if path is None or folder is None:
            joined.append(frame)
            continue
        study = f"CHAOS {folder[0]} {folder[1]}"
        patient = patients.setdefault(study, frame.patient)
        series = f"{study} {folder[2]} {path.parent.name}"
        joined.append(replace(frame, series=series, study=study, reference="", patient=patient))
    return joined


def ground_of(path: Path) -> Path | None:
    """The folder of the ground truth of a series, by the path of one of its files; only one of two phases has it."""
    if _folder_of(path) is None:
        return None
    inner = path.parent
    anonymous = inner if inner.name == _DICOM else inner.parent
    if inner.name == "OutPhase" and (anonymous / "InPhase").is_dir():
        return None
    ground = anonymous.parent / GROUND
    return ground if ground.is_dir() else None


def labels_of(ground: Path) -> MaskLabels:
    """The labels of a folder of ground truth."""
    return CT_LABELS if ground.parent.parent.name == "CT" else MR_LABELS


def read_ground(ground: Path, frames: Sequence[Frame]) -> tuple[NDArray[np.uint8], Geometry]:
    """Read the ground truth of a series as one label map.

    A PNG belongs to the slice of the same name; where their names differ, as those of CT do, they have the order of the
    slices by name.

    Returns
    -------
    mask : (columns, rows, slices) the values of :func:`labels_of`.
    geometry : grid of the slices in the file.

    Raises
    ------
    InvalidInput
        A slice has no PNG, or one of another size, or a value has no meaning.
    """
    pictures = {path.stem: path for path in ground.iterdir() if path.suffix.lower() == ".png" and path.name[0] != "."}
    by_name = sorted(frames, key=lambda frame: _natural(PurePath(frame.file).name))
    stems = [PurePath(frame.file).stem for frame in by_name]
    if len(pictures) != len(stems):
        raise InvalidInput(f"{ground.name} has {len(pictures)} PNG files for {len(stems)} slices")
    order = stems if set(stems) == set(pictures) else sorted(pictures, key=_natural)
    of_file = {frame.file: pictures[stem] for frame, stem in zip(by_name, order, strict=True)}
    first = frames[0]
    across, down = np.array(first.directions[:3]), np.array(first.directions[3:])
    normal = np.cross(across, down)
    sorted_frames = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    start, end = (np.array(sorted_frames[place].position) for place in (0, -1))
    step = (end - start) / max(1, len(sorted_frames) - 1) if len(sorted_frames) > 1 else normal
    affine = np.eye(4)
    between_rows, between_columns = first.spacing_mm
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = (
        across * between_columns,
        down * between_rows,
        step,
        start,
    )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS to RAS
    is_ct = labels_of(ground) is CT_LABELS
    layers = [_read_slice(of_file[frame.file], frame, is_ct=is_ct) for frame in sorted_frames]
    mask = np.stack(layers, axis=-1)
    return mask, Geometry((mask.shape[0], mask.shape[1], mask.shape[2]), affine)


def _read_slice(path: Path, frame: Frame, *, is_ct: bool) -> NDArray[np.uint8]:
    """Read a PNG as (columns, rows) of labels."""
    with Image.open(path) as picture:
        if picture.size != (frame.columns, frame.rows):
            raise InvalidInput(
                f"{path.name} has {picture.size[0]} x {picture.size[1]} pixels, its slice {frame.columns} x {frame.rows}"
            )
        values = np.asarray(picture.convert("L" if picture.mode != "1" else "1")).astype(np.uint8).T
    if is_ct:
        return (values > 0).astype(np.uint8)
    labels = np.zeros_like(values)
    for label, (lowest, highest) in enumerate(_MR_VALUES, start=1):
        labels[(values >= lowest) & (values <= highest)] = label
    unknown = np.unique(values[(values > 0) & (labels == 0)])
    if unknown.size:
        raise InvalidInput(f"{path.name} has the value {unknown[0]}, which CHAOS gives no structure")
    return labels


def _folder_of(path: PurePath) -> tuple[str, str, str] | None:
    """Modality, number of the patient and kind of series (``T1DUAL``, ``T2SPIR``, ``CT``) of a file; None for others."""
    parts = path.parts
    if _DICOM not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index(_DICOM)
    above = parts[max(0, place - 3) : place]
    if len(above) == 3 and above[0] == "MR" and above[1].isdigit() and above[2] in ("T1DUAL", "T2SPIR"):
        return "MR", above[1], above[2]
    if len(above) >= 2 and above[-2] == "CT" and above[-1].isdigit():
        return "CT", above[-1], "CT"
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort numbers in names by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]
