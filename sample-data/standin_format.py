"""The format of the CT stand-in: TotalSegmentator's folder, plans and classes, around a small network.

TotalSegmentator's own API loads the stand-in offline, because it has the folder, the names and the 117 class ids of the
published weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme

DATASET = "Dataset297_TotalSegmentator_total_3mm_1559subj"
MODEL = "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
SPACING_MM = 6.0
PATCH = (40, 40, 64)  # z, y, x: nnU-Net's order for an image read as RAS
FEATURES = (16, 32, 64, 128)
CLASSES = 117
# Levels of the spine, lobes of a lung, and S1 and sacrum cannot all be distinguished in a small patch of 6 mm voxels;
# the class ids of one group are trained as one class and get the same head.
GROUPED = (tuple(range(27, 32)), tuple(range(32, 37)), tuple(range(37, 51)), (12, 13))


def groups() -> list[tuple[int, ...]]:
    """List the class ids of TotalSegmentator's ``total`` that are trained together, one tuple a class."""
    taken = {i for group in GROUPED for i in group}
    ids = [i for found in LabelScheme.default().ids_in(TOTALSEGMENTATOR_TOTAL).values() for i in found]
    return [*GROUPED, *((i,) for i in sorted(ids) if i not in taken)]


def architecture() -> dict[str, Any]:
    """Describe the network as in nnU-Net's plans."""
    stages = len(FEATURES)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(FEATURES),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            "n_conv_per_stage": [1] * stages,
            "n_conv_per_stage_decoder": [1] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans(intensities: dict[str, float]) -> dict[str, Any]:
    """Make nnU-Net's plans of the stand-in.

    Parameters
    ----------
    intensities : statistics of HU, as CTNormalization needs them.
    """
    resample = {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False}
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 3.0, 3.0],
        "original_median_shape_after_transp": [184, 93, 131],
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(PATCH),
                "median_image_size_in_voxels": [92.0, 47.0, 65.0],
                "spacing": [SPACING_MM] * 3,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_torch_fornnunet",
                "resampling_fn_data_kwargs": resample,
                "resampling_fn_seg": "resample_torch_fornnunet",
                "resampling_fn_seg_kwargs": {**resample, "is_seg": True},
                "resampling_fn_probabilities": "resample_torch_fornnunet",
                "resampling_fn_probabilities_kwargs": resample,
                "architecture": architecture(),
                "batch_dice": False,
            }
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
    }


def dataset_json() -> dict[str, Any]:
    """Make nnU-Net's description of the data set, with TotalSegmentator's names and class ids."""
    from totalsegmentator.map_to_binary import class_map

    names = class_map["total"]
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{names[i]: i for i in range(1, CLASSES + 1)}},
        "numTraining": 1559,
        "file_ending": ".nii.gz",
        "description": "Stand-in trained on synthetic phantoms by sample-data/train_standin.py. "
        "It is not TotalSegmentator's model and knows no patient.",
    }


def with_all_heads(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the weights one head for each of the 117 classes and the background, in half precision.

    Class ids of one group get the same head (of equal logits, the first wins); classes that were not trained never win.
    """
    out = {}
    halves: dict[int, torch.Tensor] = {}  # nnU-Net's decoder contains the encoder's weights again; store them once
    for name, value in state.items():
        if ".seg_layers." not in name:
            out[name] = halves.setdefault(value.data_ptr(), value.half())
            continue
        fill = torch.zeros((CLASSES + 1, *value.shape[1:]), dtype=value.dtype)
        if name.endswith("bias"):
            fill -= 60.0
        fill[0] = value[0]
        for number, group in enumerate(groups(), start=1):
            fill[list(group)] = value[number]
        out[name] = fill.half()
    return out


def save(network: nn.Module, intensities: dict[str, float], weights: Path) -> Path:
    """Write the weights in TotalSegmentator's format, and return the folder of the model."""
    folder = weights / DATASET / MODEL
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(dataset_json(), indent=1) + "\n")
    plan = plans(intensities)
    (folder / "plans.json").write_text(json.dumps(plan, indent=1) + "\n")
    checkpoint = {
        "network_weights": with_all_heads(network.state_dict()),
        "trainer_name": MODEL.split("__")[0],
        "init_args": {"plans": plan, "configuration": "3d_fullres", "fold": 0, "dataset_json": dataset_json()},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder
