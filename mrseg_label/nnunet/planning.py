"""Fingerprint, plans and preprocessed cases, by nnU-Net's own planner and preprocessor.

Plans can be reused from an earlier round. So can a preprocessed case, by a hard link, if its image, its label map and
everything that preprocessing reads from the plans are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mrseg_label.errors import InvalidInput
from mrseg_label.files import write_atomically
from mrseg_label.nnunet.dataset import RawDataset, link_or_copy
from mrseg_label.nnunet.environment import (
    CONFIGURATION,
    FILE_ENDING,
    PLANS,
    NnunetFolders,
    available_cores,
    quiet,
    threads_for_processes,
)
from mrseg_label.nnunet.profiles import NetworkShape, TrainingProfile

PREPROCESSED_CASES_FILE = "preprocessed_cases.json"
_SETTINGS, _TAKEN_FROM = "mrseg_profile", "mrseg_plans_from"  # our keys in nnU-Net's plans
_PARTS = (".b2nd", "_seg.b2nd", ".pkl")  # in the order in which they are written: a case that has the last is whole


@dataclass(frozen=True)
class PreprocessedDataset:
    """A planned and preprocessed data set.

    Attributes
    ----------
    folder : ``<preprocessed>/<data set>``, with plans, splits and the cases of one configuration.
    plans_reused_from : data set whose plans were reused, or None.
    cases_reused, cases_made : number of cases that were reused and that were preprocessed now.
    """

    folder: Path
    plans_reused_from: str | None
    cases_reused: int
    cases_made: int


def plan(
    folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile, earlier: Path | None = None
) -> str | None:
    """Write fingerprint, plans, dataset.json and splits into ``<preprocessed>/<data set>``.

    Parameters
    ----------
    earlier : preprocessed folder of an earlier round, whose plans are reused if they were made for the same profile.

    Returns
    -------
    Name of the data set whose plans were reused, or None if they were made now.

    Raises
    ------
    InvalidInput
        nnU-Net makes no plans for 3D from these images.
    """
    target = folders.preprocessed / dataset.name
    target.mkdir(parents=True, exist_ok=True)
    for name in ("dataset.json", "splits_final.json"):
        shutil.copyfile(dataset.folder / name, target / name)
    # Plans of an attempt that was interrupted stay: what was preprocessed and trained so far depends on them.
    if not _fitting_plans(target, profile):
        if earlier is not None and (plans := _fitting_plans(earlier, profile)):
            shutil.copyfile(earlier / "dataset_fingerprint.json", target / "dataset_fingerprint.json")
            plans |= {"dataset_name": dataset.name, _TAKEN_FROM: plans["dataset_name"]}
        else:
            plans = _plan_anew(folders, dataset, profile)
        write_atomically(target / f"{PLANS}.json", json.dumps(plans, indent=1).encode())
    taken_from: str | None = _read_json(target / f"{PLANS}.json").get(_TAKEN_FROM)
    return taken_from


def preprocess(
    folders: NnunetFolders,
    dataset: RawDataset,
    profile: TrainingProfile,
    earlier: Iterable[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Preprocess every case, or reuse it from an earlier round. A run that was interrupted is resumed.

    Parameters
    ----------
    earlier : preprocessed folders of earlier rounds.
    progress : called with the number of cases done and of all cases.

    Returns
    -------
    Number of cases that were reused, and number that were preprocessed now.
    """
    target = folders.preprocessed / dataset.name
    plans = _read_json(target / f"{PLANS}.json")
    data = target / plans["configurations"][CONFIGURATION]["data_identifier"]
    digest = preprocessing_digest(plans, _read_json(target / "dataset.json"))
    keys = {case["case_id"]: _key(case) for case in dataset.cases}
    wanted = {"preprocessing_sha256": digest, "cases": keys}
    if data.exists() and _read_json_or_none(target / PREPROCESSED_CASES_FILE) != wanted:
        shutil.rmtree(data)
    data.mkdir(exist_ok=True)
    write_atomically(target / PREPROCESSED_CASES_FILE, json.dumps(wanted, indent=1).encode())
    missing = [case["case_id"] for case in dataset.cases if not (data / f"{case['case_id']}.pkl").exists()]
    reused = _link_earlier(data, missing, keys, digest, earlier)
    to_make = [case for case in missing if case not in reused]
    done = len(dataset.cases) - len(to_make)
    scratch = target / "partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for case in _preprocessed(to_make, folders, dataset, profile, scratch):
        for part in _PARTS:
            os.replace(scratch / f"{case}{part}", data / f"{case}{part}")
        done += 1
        if progress is not None:
            progress(done, len(dataset.cases))
    shutil.rmtree(scratch)
    _link_references(dataset, target)
    return len(reused), len(to_make)


def preprocessing_digest(plans: dict[str, Any], dataset_json: dict[str, Any]) -> str:
    """SHA-256 of everything that decides how an image is preprocessed: plans, labels and nnU-Net's version."""
    relevant = {
        key: value for key, value in plans.items() if key not in ("dataset_name", "configurations", _TAKEN_FROM)
    }
    configuration = {
        key: value for key, value in plans["configurations"][CONFIGURATION].items() if key != "architecture"
    }
    identity = [relevant, configuration, dataset_json["labels"], dataset_json["channel_names"], version("nnunetv2")]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _plan_anew(folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile) -> dict[str, Any]:
    import torch
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

    pools = () if profile.process_pools else (fingerprint_extractor,)
    spacing = [profile.target_spacing_mm] * 3 if profile.target_spacing_mm else None
    with quiet(), threads_for_processes(*pools):
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(dataset.name, available_cores())
        extractor.show_progress_bar = False
        if profile.short_schedule:
            # It draws 10^8 intensities, however few there are, to normalise CT; MR is normalised image by image.
            extractor.num_foreground_voxels_for_intensitystats = 10**6
        extractor.run()
        planner = ExperimentPlanner(
            dataset.name, overwrite_target_spacing=spacing, suppress_transpose=spacing is not None
        )
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


def _fitting_plans(folder: Path, profile: TrainingProfile) -> dict[str, Any] | None:
    """Plans in a preprocessed folder, if they are complete and were made for the same profile."""
    plans: dict[str, Any] | None = _read_json_or_none(folder / f"{PLANS}.json")
    whole = plans is not None and (folder / "dataset_fingerprint.json").exists()
    return plans if whole and plans is not None and plans.get(_SETTINGS) == _settings(profile) else None


def _key(case: dict[str, str]) -> list[str]:
    return [case["image_sha256"], case["label_sha256"], *([case["background"]] if "background" in case else [])]


def _link_earlier(
    data: Path, missing: Sequence[str], keys: dict[str, list[str]], digest: str, earlier: Iterable[Path]
) -> set[str]:
    found: dict[tuple[str, ...], tuple[Path, str]] = {}
    for folder in earlier:
        listing = _read_json_or_none(folder / PREPROCESSED_CASES_FILE)
        plans = _read_json_or_none(folder / f"{PLANS}.json")
        if listing is None or plans is None or listing["preprocessing_sha256"] != digest:
            continue
        source = folder / plans["configurations"][CONFIGURATION]["data_identifier"]
        for case, key in listing["cases"].items():
            if all((source / f"{case}{part}").exists() for part in _PARTS):
                found.setdefault(tuple(key), (source, case))
    linked = set()
    for case in missing:
        if (hit := found.get(tuple(keys[case]))) is not None:
            for part in _PARTS:
                (data / f"{case}{part}").unlink(missing_ok=True)
                link_or_copy(hit[0] / f"{hit[1]}{part}", data / f"{case}{part}")
            linked.add(case)
    return linked


def _preprocessed(
    cases: Sequence[str], folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile, scratch: Path
) -> Iterable[str]:
    """Preprocess cases into ``scratch`` and yield the id of each when it is done."""
    plans_file = folders.preprocessed / dataset.name / f"{PLANS}.json"
    arguments = [(str(plans_file), str(dataset.folder), case, str(scratch / case)) for case in cases]
    workers = min(available_cores(), len(cases), 8)
    if profile.process_pools and workers > 1:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            yield from pool.imap_unordered(_preprocess_case, arguments)
    else:
        yield from map(_preprocess_case, arguments)


def _preprocess_case(arguments: tuple[str, str, str, str]) -> str:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans_file, raw, case, output = arguments
    plans = PlansManager(plans_file)
    configuration = plans.get_configuration(CONFIGURATION)
    image, label = f"{raw}/imagesTr/{case}_0000{FILE_ENDING}", f"{raw}/labelsTr/{case}{FILE_ENDING}"
    with quiet():
        configuration.preprocessor_class(verbose=False).run_case_save(
            output, [image], label, plans, configuration, f"{raw}/dataset.json"
        )
    return case


def _link_references(dataset: RawDataset, target: Path) -> None:
    """Link the label maps where nnU-Net's own validation command looks for them."""
    folder = target / "gt_segmentations"
    folder.mkdir(exist_ok=True)
    for label in (dataset.folder / "labelsTr").iterdir():
        if not (folder / label.name).exists():
            link_or_copy(label, folder / label.name)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _read_json_or_none(path: Path) -> Any:
    try:
        return _read_json(path)
    except (OSError, ValueError):
        return None
