"""Tiny random networks in exactly the layouts in which other groups publish theirs.

None of the published weights can be had where the tests run. What the layouts have in common with them: folders and their
names, ``plans.json``, ``dataset.json`` with the names and numbers of the labels, trainer, checkpoint keys, number of folds
where it matters. What they do not: spacing, architecture, and any sense in what they predict.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mrseg_label.presegmentation.networks import NETWORKS, TotalSegmentatorNetwork
from mrseg_label.presegmentation.sources import Preparation, Source
from mrseg_label.workspace import Workspace
from tests.support.tiny_weights import mr_plans, plans, write_network, write_tiny_model

TOTALSEGMENTATOR = tuple(network for network in NETWORKS.values() if isinstance(network, TotalSegmentatorNetwork))
FOREIGN_LABELS = {"Leber": 1, "Milz": 2, "Herz": 3}  # of models of another group, which were trained in SAR and in RAS
_FOREIGN_STRUCTURES = {"Leber": "liver", "Milz": "spleen", "Herz": "heart"}


def write_totalsegmentator(root: Path, network: TotalSegmentatorNetwork, seed: int = 0) -> Path:
    """Write all data sets of a task under ``root``, and return ``root``, as TOTALSEG_WEIGHTS_PATH names it."""
    from totalsegmentator import map_to_binary as maps

    parts = {
        "total": (maps.class_map_5_parts, maps.map_taskid_to_partname_ct),
        "total_v3": (maps.class_map_5_parts_total_v3, maps.map_taskid_to_partname_ct_v3),
        "total_mr": (maps.class_map_parts_mr, maps.map_taskid_to_partname_mr),
    }
    classes_of_part, part_of = parts[network.task]
    for number, folder in enumerate(network.folders):
        data_set = int(folder.removeprefix("Dataset")[:3])
        classes = maps.class_map[network.task] if network.fast else classes_of_part[part_of[data_set]]
        plan = (
            mr_plans(folder, "NibabelIOWithReorient") if network.trained_on_mr else plans() | {"dataset_name": folder}
        )
        labels = {name: label for label, name in sorted(classes.items())}
        write_network(root / folder / network.model, plan, labels, network.trainer, seed=seed + number)
    return root


def write_mrsegmentator(root: Path, *, base: bool = False, folds: Iterable[int] = range(5), seed: int = 0) -> Path:
    """Write the MRSegmentator weights, and return ``root``, as WEIGHTS_PATH names it.

    Parameters
    ----------
    base : as later versions lay them out, in ``base`` beside another model; else at the root.
    """
    folder = root / "base" if base else root
    labels = {str(number): number for number in range(1, 41)}
    plan = mr_plans("Dataset020_MRSegmentator", "SimpleITKIO")
    write_network(folder, plan, labels, "nnUNetTrainerNoMirroring", folds=tuple(folds), seed=seed)
    (folder / "version.json").write_text(json.dumps({"weights_version": 1.2}))
    if base:
        other = mr_plans("Dataset021_BodyComposition", "SimpleITKIO")
        write_network(root / "body_comp", other, {"1": 1, "2": 2}, "nnUNetTrainerNoMirroring", seed=seed)
    return root


def workspace_with_every_source(root: Path) -> tuple[Workspace, list[Source]]:
    """Make a workspace to which all published networks are installed, and two models of another group.

    Returns
    -------
    workspace : for ``LoadedNetworks(workspace, "cpu")``.
    sources : every one of it: each network with each of its preparations.
    """
    from mrseg_label.nnunet.conventions import ModelConventions

    for network in TOTALSEGMENTATOR:
        write_totalsegmentator(root / "totalsegmentator", network)
    write_mrsegmentator(root / "mrsegmentator", folds=range(2))
    text = f'DEVICE = "cpu"\nTOTALSEG_WEIGHTS_PATH = "{root / "totalsegmentator"}"\nWEIGHTS_PATH = "{root / "mrsegmentator"}"\n'
    workspace = Workspace.init(root / "workspace", settings_text=text)
    for orientation, reader in (("SAR", "SimpleITKIO"), ("RAS", "NibabelIOWithReorient")):
        folder = workspace.path(f"models/import-{orientation.lower()}")
        (plans_file,) = write_tiny_model(folder, FOREIGN_LABELS, reader=reader).rglob("plans.json")
        ModelConventions(orientation, _FOREIGN_STRUCTURES).write(plans_file.parent)
    names = [*NETWORKS, "model:import-sar", "model:import-ras"]
    return workspace, [Source(name, preparation) for name in names for preparation in Preparation]
