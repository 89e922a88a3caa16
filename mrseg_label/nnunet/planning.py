"""Fingerprint, plans and preprocessed cases, by nnU-Net's own planner and preprocessor.

Plans can be reused from an earlier round. So can a preprocessed case (:mod:`mrseg_label.nnunet.store`), if its image,
its label map and everything in the plans that shapes its voxels are the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mrseg_label.errors import InvalidInput
from mrseg_label.files import link_or_copy, write_atomically
from mrseg_label.nnunet.damage import read_json, usable_json
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.drift import find_drift, keep_measures, measure_images
from mrseg_label.nnunet.environment import (
    CONFIGURATION,
    PLANS,
    NnunetFolders,
    available_cores,
    log,
    quiet,
    threads_for_processes,
)
from mrseg_label.nnunet.left_out import split_without
from mrseg_label.nnunet.preprocessing import preprocess_cases
from mrseg_label.nnunet.profiles import NetworkShape, TrainingProfile
from mrseg_label.nnunet.store import PREPROCESSED_CASES_FILE, CaseStore, case_key, preprocessing_digest, used_keys

# Our keys in nnU-Net's plans.
_SETTINGS, _TAKEN_FROM, _DRIFT = "mrseg_profile", "mrseg_plans_from", "mrseg_planned_anew"
_FINGERPRINT = "dataset_fingerprint.json"


class Planned(NamedTuple):
    """Where plans come from.

    Attributes
    ----------
    reused_from : name of the data set whose plans were reused, or None if they were made for this one.
    drift : why plans of an earlier round were not reused although the profile is the same, or None.
    """

    reused_from: str | None
    drift: str | None


def plan(folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile, earlier: Path | None = None) -> Planned:
    """Write fingerprint, plans, dataset.json and splits into ``<preprocessed>/<data set>``.

    Parameters
    ----------
    earlier : preprocessed folder of an earlier round, whose plans are reused if they were made for the same profile and
        still suit the images (:mod:`mrseg_label.nnunet.drift`).

    Raises
    ------
    InvalidInput
        nnU-Net makes no plans for 3D from these images.
    """
    target = folders.preprocessed / dataset.name
    target.mkdir(parents=True, exist_ok=True)
    for name in ("dataset.json", "splits_final.json"):
        shutil.copyfile(dataset.folder / name, target / name)
    own = [usable_json(target / name) for name in (f"{PLANS}.json", _FINGERPRINT)]
    # Plans of an attempt that was interrupted stay: what was preprocessed and trained so far depends on them.
    if not (all(own) and fitting_plans(target, profile)):
        drift, plans = None, None
        if earlier is not None and (plans := fitting_plans(earlier, profile)):
            write_atomically(target / _FINGERPRINT, (earlier / _FINGERPRINT).read_bytes())
            measures = measure_images(dataset, target, earlier)
            drift = find_drift(plans, _planner(dataset, profile), measures, patch_is_planned=profile.network is None)
            plans |= {"dataset_name": dataset.name, _TAKEN_FROM: plans["dataset_name"], _DRIFT: None}
        if plans is None or drift is not None:
            if drift is not None:
                log.warning("planned anew, and every case is preprocessed anew: %s", drift)
            (target / _FINGERPRINT).unlink(missing_ok=True)  # nnU-Net would take it for that of these cases
            plans = _plan_anew(folders, dataset, profile) | {_DRIFT: drift}
        write_atomically(target / f"{PLANS}.json", json.dumps(plans, indent=1).encode())
    plans = _read_json(target / f"{PLANS}.json")
    return Planned(plans.get(_TAKEN_FROM), plans.get(_DRIFT))


def preprocess(
    folders: NnunetFolders,
    dataset: RawDataset,
    profile: TrainingProfile,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int, dict[str, str]]:
    """Preprocess every case that no earlier round preprocessed alike. A run that was interrupted is resumed.

    A case that nnU-Net cannot preprocess is left out of the splits. Files that were damaged since they were written are
    put aside and made again.

    Parameters
    ----------
    progress : called with the number of cases done and of all cases.

    Returns
    -------
    Number of cases that were reused, number that were preprocessed for this data set, also by a run that was
    interrupted, and reasons by case id of those left out.

    Raises
    ------
    InvalidInput
        No case is left to train on; the message says why.
    """
    target = folders.preprocessed / dataset.name
    plans = _read_json(target / f"{PLANS}.json")
    data = target / plans["configurations"][CONFIGURATION]["data_identifier"]
    digest = preprocessing_digest(plans, _read_json(target / "dataset.json"))
    keys = {case["case_id"]: case_key(case, digest) for case in dataset.cases}
    listing, resumed = target / PREPROCESSED_CASES_FILE, used_keys(target) == keys
    if data.exists() and not resumed:
        shutil.rmtree(data)
    data.mkdir(exist_ok=True)
    store = CaseStore(folders.preprocessed)
    report = progress or (lambda _done, _total: None)
    with store.in_use():
        to_make, done = [], 0
        for case, key in keys.items():
            # A step too: of thousands of cases, checking their SHA-256 takes minutes.
            if store.link(key, data, case):
                done += 1
                report(done, len(keys))
            else:
                to_make.append(case)
        reused = (set(read_json(listing)["reused"]) if resumed else set(keys)) - set(to_make)
        # Before the first is made, so that all that lies in the store is known to be used.
        content = {"cases": keys, "reused": sorted(reused)}
        write_atomically(listing, json.dumps(content, indent=1).encode())
        scratch = target / "partial"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        left_out: dict[str, str] = {}
        for case, reason in preprocess_cases(to_make, folders, dataset, profile, scratch):
            if reason is None:
                store.add(keys[case], scratch, case)
                store.link(keys[case], data, case)
            else:
                left_out[case] = reason
            done += 1
            report(done, len(keys))
        shutil.rmtree(scratch)
    _link_references(dataset, target)
    splits = split_without(_read_json(dataset.folder / "splits_final.json"), left_out)
    write_atomically(target / "splits_final.json", json.dumps(splits, indent=1).encode())
    return len(reused), len(keys) - len(reused) - len(left_out), left_out


def spacing_zyx(spacing_mm: float | Sequence[float] | None) -> list[float] | None:
    """Spacing of a profile in the order of nnU-Net's arrays, (Z, Y, X)."""
    if spacing_mm is None:
        return None
    return [float(mm) for mm in reversed(spacing_mm)] if isinstance(spacing_mm, Sequence) else [float(spacing_mm)] * 3


def _plan_anew(folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile) -> dict[str, Any]:
    import torch
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    pools = () if profile.process_pools else (fingerprint_extractor,)
    with quiet(), threads_for_processes(*pools):
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(dataset.name, available_cores())
        extractor.show_progress_bar = False
        if profile.short_schedule:
            # It draws 10^8 intensities, however few there are, to normalise CT; MR is normalised image by image.
            extractor.num_foreground_voxels_for_intensitystats = 10**6
        keep_measures(dataset, extractor.run(), folders.preprocessed / dataset.name)
        planner = _planner(dataset, profile)
        # The planner builds networks only to count their feature maps; on "meta" they get no weights.
        with torch.device("meta"):
            planner.plan_experiment()
    plans: dict[str, Any] = _read_json(folders.preprocessed / dataset.name / f"{PLANS}.json")
    if CONFIGURATION not in plans["configurations"]:
        raise InvalidInput(
            f"nnU-Net makes no plans {CONFIGURATION} for {dataset.name}: its images have a single slice; "
            "train on volumes of several slices"
        )
    plans["configurations"] = {CONFIGURATION: _edited(plans["configurations"][CONFIGURATION], profile)}
    plans[_SETTINGS] = _settings(profile)
    return plans


def _planner(dataset: RawDataset, profile: TrainingProfile) -> Any:
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

    spacing = spacing_zyx(profile.target_spacing_mm)
    return ExperimentPlanner(dataset.name, overwrite_target_spacing=spacing, suppress_transpose=spacing is not None)


def _edited(configuration: dict[str, Any], profile: TrainingProfile) -> dict[str, Any]:
    """The planner's configuration with the changes of the profile."""
    if profile.network is not None:
        _set_network(configuration, profile.network)
    if profile.torch_resampling:
        common = {"force_separate_z": False, "memefficient_seg_resampling": False}
        for what, is_seg in (("data", False), ("seg", True), ("probabilities", False)):
            configuration[f"resampling_fn_{what}"] = "resample_torch_fornnunet"
            configuration[f"resampling_fn_{what}_kwargs"] = {"is_seg": is_seg, **common}
    # The other configurations are dropped, so no stage of a cascade follows this one.
    configuration.pop("next_stage", None)
    return configuration


def _set_network(configuration: dict[str, Any], shape: NetworkShape) -> None:
    stages = len(shape.features_per_stage)
    configuration["patch_size"] = list(shape.patch_size)
    configuration["batch_size"] = shape.batch_size
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["n_stages"] = stages
    arguments["features_per_stage"] = list(shape.features_per_stage)
    arguments["kernel_sizes"] = [[3, 3, 3]] * stages
    arguments["strides"] = [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1)
    arguments["n_conv_per_stage"] = [shape.convs_per_stage] * stages
    arguments["n_conv_per_stage_decoder"] = [shape.convs_per_stage] * (stages - 1)


def _settings(profile: TrainingProfile) -> dict[str, Any]:
    """The values of a profile that plans depend on, in the form of JSON."""
    values = asdict(profile)
    relevant = {key: values[key] for key in ("name", "target_spacing_mm", "network", "torch_resampling")}
    settings: dict[str, Any] = json.loads(json.dumps(relevant))
    return settings


def fitting_plans(folder: Path, profile: TrainingProfile) -> dict[str, Any] | None:
    """Plans in a preprocessed folder, if they are complete and were made for the same profile."""
    plans, fingerprint = read_json(folder / f"{PLANS}.json"), read_json(folder / _FINGERPRINT)
    if not isinstance(plans, dict) or not isinstance(fingerprint, dict):
        return None
    return plans if plans.get(_SETTINGS) == _settings(profile) else None


def _link_references(dataset: RawDataset, target: Path) -> None:
    """Link the label maps where nnU-Net's own validation command looks for them."""
    folder = target / "gt_segmentations"
    folder.mkdir(exist_ok=True)
    for label in (dataset.folder / "labelsTr").iterdir():
        if not (folder / label.name).exists():
            link_or_copy(label, folder / label.name)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())
