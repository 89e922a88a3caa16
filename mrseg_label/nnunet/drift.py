"""Whether the images of a round still are those that the plans which it could reuse were made for.

nnU-Net chooses spacing and patch by the images that there are when it plans. If other images join, such as thick slices,
the network would go on with what suited the first few. So its planner is asked again what it would choose now, and the
plans are made anew where that differs by more than the bounds below. Intensities do not count: each image is
normalised by its own.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel

from mrseg_label.files import write_atomically
from mrseg_label.nnunet.damage import read_json
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.environment import CONFIGURATION, FILE_ENDING, available_cores, log, quiet

# Largest ratio, up or down, of a spacing and of a side of the patch to those of the plans.
SPACING_BOUND, PATCH_BOUND = 1.2, 1.25
# nnU-Net normalises within the body where cropping to it leaves less than 0.75 of the median image. So that plans do not
# change with each case about there, the share has to be this far beyond.
CROPPING, CROPPING_MARGIN = 0.75, 0.05
MEASURES_FILE = "measured_images.json"
Measures = dict[str, dict[str, Any]]


def measure_images(dataset: RawDataset, target: Path, earlier: Path) -> list[dict[str, Any]]:
    """Measure the images of a data set as nnU-Net's fingerprint does; those that an earlier round had, it measured.

    Parameters
    ----------
    target, earlier : preprocessed folders of the data set and of the earlier round. The measures are kept in
        ``target``.

    Returns
    -------
    ``spacing``, mm, and ``shape`` after cropping, voxels, both (Z, Y, X), and ``kept``, the share of the voxels that
    cropping leaves, of each image that can be read.
    """
    known: Measures = (read_json(earlier / MEASURES_FILE) or {}) | (read_json(target / MEASURES_FILE) or {})
    files = {_key(case): _file(dataset, case) for case in dataset.cases}
    new = [key for key in files if key not in known]
    with ThreadPoolExecutor(available_cores()) as pool:
        known.update(zip(new, pool.map(_measure, (files[key] for key in new)), strict=True))
    measures = {key: known[key] for key in files if known[key]}
    write_atomically(target / MEASURES_FILE, json.dumps(measures).encode())
    return [measures[_key(case)] for case in dataset.cases if _key(case) in measures]


def keep_measures(dataset: RawDataset, fingerprint: Mapping[str, Any], target: Path) -> None:
    """Keep what nnU-Net measured for a fingerprint of all images, so that no later round measures them again."""
    measures: Measures = {}
    found = zip(dataset.cases, fingerprint["spacings"], fingerprint["shapes_after_crop"], strict=True)
    for case, spacing, shape in found:
        whole = nibabel.load(_file(dataset, case)).shape
        measures[_key(case)] = {
            "spacing": [float(mm) for mm in spacing],
            "shape": [int(size) for size in shape],
            "kept": math.prod(shape) / math.prod(whole),
        }
    write_atomically(target / MEASURES_FILE, json.dumps(measures).encode())


def find_drift(
    plans: Mapping[str, Any], planner: Any, measures: Sequence[Mapping[str, Any]], *, patch_is_planned: bool
) -> str | None:
    """Compare plans with what nnU-Net's planner would choose for images, and say what differs too much.

    Parameters
    ----------
    planner : nnU-Net's planner of the data set, which is given the measures.
    patch_is_planned : whether the planner chooses the patch, and not the profile.

    Returns
    -------
    What changed, for example ``target spacing 3 x 1.5 x 1.5 -> 8 x 1.5 x 1.5 mm (Z, Y, X)``; None within the bounds.
    """
    if not measures:
        return None
    configuration = plans["configurations"][CONFIGURATION]
    kept = statistics.median(measured["kept"] for measured in measures)
    planner.dataset_fingerprint = planner.dataset_fingerprint | {
        "spacings": [measured["spacing"] for measured in measures],
        "shapes_after_crop": [measured["shape"] for measured in measures],
        "median_relative_size_after_cropping": kept,
    }
    before = [configuration["spacing"][axis] for axis in plans["transpose_backward"]]
    now = [float(mm) for mm in planner.determine_fullres_target_spacing()]
    if _beyond(before, now, SPACING_BOUND):
        return f"target spacing {_sides(before)} -> {_sides(now)} mm (Z, Y, X)"
    within_body = any(configuration["use_mask_for_norm"])
    if kept > CROPPING + CROPPING_MARGIN if within_body else kept < CROPPING - CROPPING_MARGIN:
        return f"cropping to the body now leaves {kept:.2f} of the median image, and the bound is {CROPPING}"
    if patch_is_planned:
        patch = _planned_patch(planner)
        if patch is not None and _beyond(configuration["patch_size"], patch, PATCH_BOUND):
            return f"patch {_sides(configuration['patch_size'])} -> {_sides(patch)} voxels"
    return None


def _planned_patch(planner: Any) -> list[int] | None:
    import torch

    with quiet(), torch.device("meta"):
        planner.plan_experiment()
    configuration = planner.plans["configurations"].get(CONFIGURATION)
    return None if configuration is None else [int(size) for size in configuration["patch_size"]]


def _beyond(before: Sequence[float], now: Sequence[float], bound: float) -> bool:
    return any(max(one / other, other / one) > bound for one, other in zip(before, now, strict=True))


def _sides(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)


def _measure(file: Path) -> dict[str, Any]:
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
    from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

    try:
        image, properties = NibabelIOWithReorient().read_images([str(file)])
        cropped, _, _ = crop_to_nonzero(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - preprocessing leaves the case out and says why
        log.warning("%s cannot be measured", file, exc_info=True)
        return {}
    return {
        "spacing": [float(mm) for mm in properties["spacing"]],
        "shape": [int(size) for size in cropped.shape[1:]],
        "kept": cropped[0].size / image[0].size,
    }


def _file(dataset: RawDataset, case: Mapping[str, str]) -> Path:
    return dataset.folder / "imagesTr" / f"{case['case_id']}_0000{FILE_ENDING}"


def _key(case: Mapping[str, str]) -> str:
    """Of an image, as it lies in the raw data set."""
    return f"{case['image_sha256']} {case.get('window_hu', '')}".strip()
