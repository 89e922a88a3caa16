"""What is stated of the published networks agrees with the installed TotalSegmentator and with the label scheme."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrseg_label.errors import ConfigurationError, MrsegError
from mrseg_label.labels import LabelScheme
from mrseg_label.maintenance.checks import State
from mrseg_label.maintenance.checks.installation import check_networks
from mrseg_label.presegmentation.installed import WeightsState, installed, require_network
from mrseg_label.presegmentation.mrsegmentator import find_mrsegmentator, mrsegmentator_conventions
from mrseg_label.presegmentation.network_cache import NetworkCache
from mrseg_label.presegmentation.networks import MRSEGMENTATOR_NETWORK, NETWORKS, TotalSegmentatorNetwork
from mrseg_label.presegmentation.weights import model_files
from mrseg_label.segments.names import NameTable
from mrseg_label.workspace import Workspace

SCHEME = LabelScheme.default()
TOTALSEGMENTATOR = [one for one in NETWORKS.values() if isinstance(one, TotalSegmentatorNetwork)]


@pytest.mark.parametrize("network", TOTALSEGMENTATOR, ids=lambda one: one.name)
def test_totalsegmentator_knows_the_task_by_these_folders_and_trainers(network: TotalSegmentatorNetwork) -> None:
    from totalsegmentator import map_tasks_config as config
    from totalsegmentator.bin.totalseg_download_weights import TASK_TO_ID

    stated = config.TASK_CONFIGS[network.task]["sub_modes"]["fast" if network.fast else "default"]
    tasks = stated["task_id"] if isinstance(stated["task_id"], list) else [stated["task_id"]]
    entries = [vars(config)[name] for name in vars(config) if isinstance(vars(config)[name], dict)]
    (folders,) = [entry for entry in entries if 297 in entry]
    assert [folders[task]["foldername"] for task in tasks] == list(network.folders)
    assert {folders[task]["version"] for task in tasks} == {network.release}
    assert stated["trainer"] == network.trainer
    assert set(tasks) <= set(TASK_TO_ID[network.download])


@pytest.mark.parametrize("network", TOTALSEGMENTATOR, ids=lambda one: one.name)
def test_the_classes_of_totalsegmentator_are_the_structures_of_the_scheme(network: TotalSegmentatorNetwork) -> None:
    """By their names; structures of several classes consist of their parts."""
    from totalsegmentator.map_to_binary import class_map

    names = class_map[network.task]
    parts = {"lung": "lung_", "spine": "vertebrae", "sacrum": "sacrum vertebrae_S1"}
    table = NameTable(SCHEME)
    for structure, ids in network.structures(SCHEME).items():
        for number in ids:
            found = names[number].replace("autochthon", "autochthonous_muscle").replace("iliopsoas", "iliopsoas_muscle")
            if table.match(found) == structure:
                continue
            kind = structure.removeprefix("left_").removeprefix("right_")
            assert any(names[number].startswith(part) for part in parts[kind].split()), (structure, names[number])
            side = structure.partition("_")[0]
            assert side not in ("left", "right") or names[number].endswith(side)


def test_the_numbers_of_mrsegmentator_are_the_papers_table() -> None:
    """The table of the published README: 1 spleen, 2 right_kidney, ... 40 right_gluteus_minimus."""
    assert MRSEGMENTATOR_NETWORK.structures(SCHEME) == {one.name: (one.id,) for one in SCHEME}
    some = {1: "spleen", 3: "left_kidney", 10: "left_lung", 25: "spine", 26: "sacrum", 31: "left_autochthonous_muscle"}
    table = MRSEGMENTATOR_NETWORK.lookup(SCHEME)
    assert all(table[number] == SCHEME[name].id for number, name in some.items()) and table.max() == 40


def test_a_scheme_without_the_label_set_gets_structures_of_the_same_names(tmp_path: Path) -> None:
    own = LabelScheme.parse("id\tname\n1\tliver\n2\tLeft Kidney\n3\ttumour\n")
    assert MRSEGMENTATOR_NETWORK.structures(own) == {"liver": (5,), "left_kidney": (3,)}
    labels = {"background": 0} | {str(number): number for number in range(1, 41)}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    conventions = mrsegmentator_conventions(tmp_path, own)
    assert conventions.orientation == "LPS"
    assert conventions.label_ids({"5": 5, "3": 3, "1": 1}, own) == {5: 1, 3: 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels | {"51": 51}}))
    with pytest.raises(
        ConfigurationError, match=r"label '51' is none.*models import .* --orientation AXES --labels MAP"
    ):
        mrsegmentator_conventions(tmp_path, own)


def touch_weights(folder: Path) -> Path:
    (folder / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (folder / name).write_text('{"labels": {"background": 0, "1": 1}}')
    return folder


def test_the_mrsegmentator_weights_lie_at_the_root_or_in_base(tmp_path: Path) -> None:
    assert find_mrsegmentator(touch_weights(tmp_path / "old")) == tmp_path / "old"
    base = touch_weights(tmp_path / "new" / "base")
    touch_weights(tmp_path / "new" / "body_comp")
    assert find_mrsegmentator(tmp_path / "new") == base
    two = tmp_path / "two"
    touch_weights(two / "a")
    touch_weights(two / "b")
    with pytest.raises(ConfigurationError, match=r"WEIGHTS_PATH is .*holds 2 nnU-Net models"):
        find_mrsegmentator(two)


def test_networks_in_use_must_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    workspace = Workspace.init(tmp_path / "ws", settings_text='BOOTSTRAP_SOURCES = "*=total_mr+mrsegmentator"\n')
    for name, message in {
        "total_mr": r"total_mr.*totalseg_download_weights -t total_mr.*Dataset850",
        "mrsegmentator": r"names mrsegmentator.*WEIGHTS_PATH",
        "model:round-9": "no model version 'round-9'",
    }.items():
        with pytest.raises(MrsegError, match=message):
            require_network(workspace, name)
    require_network(workspace, "total_fast")  # the stand-in
    states = {check.name: check for check in check_networks(workspace)}
    assert states["source total_mr"].state is State.WARNING and "in use" in states["source total_mr"].detail
    assert states["source total"].state is State.OK and "licence Apache-2.0" in states["source total"].detail
    assert "weights" not in states and "sources" not in states  # TotalSegmentator's CT network makes no draft
    for file in model_files(tmp_path / "ts", TOTALSEGMENTATOR[1]):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    settings = workspace.settings.model_copy(update={"totalseg_weights_path": tmp_path / "ts"})
    found = installed(TOTALSEGMENTATOR[1], settings)
    assert (found.state, found.path, found.advice) == (WeightsState.FOUND, tmp_path / "ts", None)
    file.unlink()
    assert installed(TOTALSEGMENTATOR[1], settings).state is WeightsState.MISSING


def test_defaults_that_rest_on_a_phantom_say_so(tmp_path: Path) -> None:
    found = [check for check in check_networks(Workspace.init(tmp_path / "ws")) if check.name == "sources"]
    assert "two acquisitions of a phantom" in found[0].detail and "water" in found[0].detail


def test_networks_are_dropped_in_the_order_of_their_last_use() -> None:
    loads: list[str] = []

    def get(name: str) -> None:
        cache.get(name, lambda: loads.append(name) or name, lambda _: 40)  # type: ignore[func-returns-value]

    cache = NetworkCache(lambda: 100)
    for name in ("a", "b", "a", "c"):
        get(name)
    assert loads == ["a", "b", "c"] and "b" not in cache and cache.size_bytes == 80
    get("a")
    assert loads == ["a", "b", "c"]
    cache.get("huge", lambda: 1, lambda _: 1000)  # the newest one always stays
    assert len(cache) == 1 and "huge" in cache
