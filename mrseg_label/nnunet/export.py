"""From the logits of a network to a label map on the grid of its input; the label maps are nnU-Net's. Imports torch.

nnU-Net interpolates the logits of all classes to the input's resolution before it compares them. Here they are compared
block by block (:mod:`mrseg_label.nnunet.arg_max`), on a GPU if there is one. What is not nnU-Net's default (regions,
another resampling, logits that are not finite) is left to nnU-Net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from nnunetv2.inference import export_prediction
from nnunetv2.preprocessing.resampling.default_resampling import (
    determine_do_sep_z_and_axis,
    resample_data_or_seg_to_shape,
)
from numpy.typing import NDArray

from mrseg_label.nnunet.arg_max import arg_max
from mrseg_label.nnunet.environment import log
from mrseg_label.nnunet.sampling import AxisSampling, sample_axes

# Others replace nnU-Net's function in its module (TotalSegmentator does); this is the one that was there at first.
_nnunet_export = export_prediction.convert_predicted_logits_to_segmentation_with_correct_shape
_PLANES = 4_000_000  # values of logits that are looked at at once


@dataclass(frozen=True)
class Exported:
    """A predicted label map.

    Parameters
    ----------
    label_map : label ids on the grid of the network's input before preprocessing.
    uncertainty : for each label id that is predicted anywhere on the network's grid (0 for background too), the mean over
        its voxels of 1 - (probability of the class - probability of the next), 0 to 1; None unless it was asked for.
    """

    label_map: NDArray[np.uint8 | np.uint16]
    uncertainty: dict[int, float] | None


def export_logits(
    logits: torch.Tensor, properties: Mapping[str, Any], plans: Any, configuration: Any, labels: Any,
    device: torch.device, *, threads: int = 1, uncertainty: bool = False,
) -> Exported:  # fmt: skip
    """Convert logits to a label map as nnU-Net's ``convert_predicted_logits_to_segmentation_with_correct_shape`` does.

    Parameters
    ----------
    logits : (C, X, Y, Z) on the CPU, on the network's grid.
    properties : what nnU-Net's preprocessor noted: ``spacing`` and the shapes and box of the crop.
    plans, configuration, labels : nnU-Net's managers of the plans, of the configuration and of the labels.
    device : where to interpolate.
    threads : number of threads on the CPU.
    uncertainty : whether to compute the uncertainty of each structure too.
    """
    certain = _uncertainty(logits) if uncertainty and not labels.has_regions else None
    axes = _sampling(logits, properties, plans, configuration, labels)
    if axes is None:
        label_map = _nnunet_export(
            logits, plans, configuration, labels, dict(properties), num_threads_torch=max(1, threads)
        )
        return Exported(np.asarray(label_map), certain)
    cropped: NDArray[np.uint8 | np.uint16] = np.zeros(
        properties["shape_before_cropping"], np.uint8 if len(labels.foreground_labels) < 255 else np.uint16
    )
    target = cropped[tuple(slice(*ends) for ends in properties["bbox_used_for_cropping"])]
    try:
        arg_max(logits, axes, target, device, threads)
    except torch.cuda.OutOfMemoryError:
        log.warning("the memory of %s does not suffice to export a label map; the CPU does it instead", device)
        arg_max(logits, axes, target, torch.device("cpu"), threads)
    return Exported(cropped.transpose(plans.transpose_backward), certain)


def _sampling(
    logits: torch.Tensor, properties: Mapping[str, Any], plans: Any, configuration: Any, labels: Any
) -> list[AxisSampling] | None:
    """Return how nnU-Net would sample the three axes of the logits; None where only its own code can."""
    resampling = configuration.resampling_fn_probabilities
    if labels.has_regions or logits.dtype not in (torch.float16, torch.float32) or not _is_default(resampling):
        return None
    if not all(bool(torch.isfinite(torch.stack(torch.aminmax(channel))).all()) for channel in logits):
        return None
    shape = properties["shape_after_cropping_and_before_resampling"]
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    network_spacing = list(configuration.spacing)
    if len(network_spacing) < len(shape):  # a network for single slices
        network_spacing = [spacing[0], *network_spacing]
    options = {
        name: value
        for name, value in resampling.keywords.items()
        if name in ("force_separate_z", "separate_z_anisotropy_threshold")
    }
    separate, axis = determine_do_sep_z_and_axis(
        options.pop("force_separate_z", False), network_spacing, spacing, **options
    )
    return sample_axes(logits.shape[1:], shape, int(axis) if separate and axis is not None else None)


def _is_default(resampling: Any) -> bool:
    """Whether logits are interpolated linearly by nnU-Net's default function, and between thick slices not at all."""
    if not isinstance(resampling, partial) or resampling.func is not resample_data_or_seg_to_shape or resampling.args:
        return False
    stated = {"is_seg": False, "order": 3, "order_z": 0} | resampling.keywords
    return not stated["is_seg"] and stated["order"] == 1 and stated["order_z"] == 0


@torch.inference_mode()
def _uncertainty(logits: torch.Tensor) -> dict[int, float]:
    """Return, for each predicted class, the mean over its voxels of 1 - (its probability - that of the next)."""
    count = len(logits)
    sums, voxels = np.zeros(count), np.zeros(count)
    planes = max(1, _PLANES // max(1, count * logits[0, 0].numel()))
    for start in range(0, logits.shape[1], planes):
        values = logits[:, start : start + planes].flatten(1).float()
        best, found = values.max(0)
        values = values - best  # not in place: these may be the logits themselves
        total = values.exp().sum(0)
        values.scatter_(0, found[None], -torch.inf)
        margin = (1 - values.amax(0).exp()) / total
        classes = found.numpy()
        sums += np.bincount(classes, (1 - margin).numpy(), count)
        voxels += np.bincount(classes, minlength=count)
    return {int(number): float(sums[number] / voxels[number]) for number in np.flatnonzero(voxels)}
