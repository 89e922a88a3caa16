"""A tiny network with random weights in TotalSegmentator's folder format, for tests of the machinery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrseg_label.presegmentation.weights import DATASET, MODEL

SPACING_MM = 6.0


def plans() -> dict[str, Any]:
    """nnU-Net's plans for a network of two stages at 6 mm."""
    resampling = {
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
    }
    resample = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": False}
    torch_resample = {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False}
    configuration = {
        **resampling,
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": [32, 32, 32],
        "spacing": [SPACING_MM] * 3,
        "median_image_size_in_voxels": [40.0] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data_kwargs": resample,
        "resampling_fn_seg_kwargs": {**resample, "is_seg": True},
        "resampling_fn_probabilities": "resample_torch_fornnunet",
        "resampling_fn_probabilities_kwargs": torch_resample,
        "batch_dice": False,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 2,
                "features_per_stage": [8, 16],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * 2,
                "strides": [[1, 1, 1], [2, 2, 2]],
                "n_conv_per_stage": [1, 1],
                "n_conv_per_stage_decoder": [1],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0] * 3,
        "original_median_shape_after_transp": [80] * 3,
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 0.0, "std": 150.0, "median": 0.0, "min": -1000.0, "max": 1500.0}
            | {"percentile_00_5": -900.0, "percentile_99_5": 900.0}
        },
    }


def write_tiny_weights(root: Path, seed: int = 0) -> Path:
    """Write the folder of dataset 297 under ``root``, and return ``root``, as TOTALSEG_WEIGHTS_PATH names it.

    The network is random, but predicts many classes, each depending on all voxels around: two ways to call it agree
    only if they do the same.
    """
    from totalsegmentator.map_to_binary import class_map

    labels = {name: number for number, name in class_map["total"].items()}
    write_network(root / DATASET / MODEL, plans(), labels, MODEL.split("__")[0], seed=seed)
    return root


def write_tiny_model(
    root: Path,
    labels: dict[str, int],
    reader: str = "NibabelIOWithReorient",
    channels: int = 1,
    trainer: str = "nnUNetTrainerNoMirroring",
    seed: int = 0,
) -> Path:
    """Write a model with random weights in nnU-Net's results layout under ``root``, and return ``root``.

    Its normalisation is that of MR, so that it works on images in any units.
    """
    folder = root / "Dataset123_Own" / f"{trainer}__nnUNetPlans__3d_fullres"
    write_network(folder, mr_plans("Dataset123_Own", reader, channels), labels, trainer, channels, seed=seed)
    return root


def mr_plans(dataset: str, reader: str, channels: int = 1) -> dict[str, Any]:
    """Plans as of :func:`plans` for images in any units."""
    plan = plans() | {"dataset_name": dataset, "image_reader_writer": reader}
    plan["configurations"]["3d_fullres"]["normalization_schemes"] = ["ZScoreNormalization"] * channels
    plan["configurations"]["3d_fullres"]["use_mask_for_norm"] = [False] * channels
    return plan


def write_network(
    folder: Path,
    plan: dict[str, Any],
    labels: dict[str, int],
    trainer: str,
    channels: int = 1,
    folds: Sequence[int] = (0,),
    seed: int = 0,
) -> None:
    """Write ``dataset.json``, ``plans.json`` and the folds of a network with random weights into ``folder``."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    modality = "CT" if plan["configurations"]["3d_fullres"]["normalization_schemes"] == ["CTNormalization"] else "MR"
    dataset = {
        "channel_names": {str(number): modality for number in range(channels)},
        "labels": {"background": 0} | labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
        "description": "Stand-in with random weights for a test",
    }
    arch = plan["configurations"]["3d_fullres"]["architecture"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(plan))
    for fold in folds:
        torch.manual_seed(seed + fold)
        network = get_network_from_plans(
            arch["network_class_name"],
            arch["arch_kwargs"],
            arch["_kw_requires_import"],
            channels,
            len(labels) + 1,
            deep_supervision=False,
        )
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": trainer,
            "init_args": {"plans": plan, "configuration": "3d_fullres", "fold": fold, "dataset_json": dataset},
            "inference_allowed_mirroring_axes": None,
        }
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
