"""Which device a process is given and uses."""

from __future__ import annotations

import pytest

from mrseg_label.errors import ConfigurationError
from mrseg_label.nnunet.devices import choose_device, device_inside, variables_for


@pytest.mark.parametrize(
    ("device", "environment", "expected"),
    [
        ("cpu", {}, {"CUDA_VISIBLE_DEVICES": ""}),
        ("auto", {}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ("cuda", {}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ("cuda:1", {}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}),
        (
            "cuda:1",
            {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"},
            {"CUDA_DEVICE_ORDER": "FASTEST_FIRST", "CUDA_VISIBLE_DEVICES": "1"},
        ),
        # As Slurm and containers give cards; their own numbers and order stay.
        ("cuda", {"CUDA_VISIBLE_DEVICES": "2,3"}, {}),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "2,3"}, {"CUDA_VISIBLE_DEVICES": "3"}),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "GPU-aa, MIG-bb"}, {"CUDA_VISIBLE_DEVICES": "MIG-bb"}),
    ],
)
def test_a_process_is_given_its_card_by_the_environment(
    device: str, environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert variables_for(device, environment) == expected
    # Given on by a process that has its card already, nothing changes.
    assert variables_for(device_inside(device), {**environment, **expected}).get("CUDA_VISIBLE_DEVICES") in (
        None,
        expected.get("CUDA_VISIBLE_DEVICES"),
    )


@pytest.mark.parametrize("visible", ["0", ""])
def test_a_card_that_this_process_may_not_use(visible: str) -> None:
    with pytest.raises(ConfigurationError, match="DEVICE is 'cuda:1', but CUDA_VISIBLE_DEVICES is"):
        variables_for("cuda:1", {"CUDA_VISIBLE_DEVICES": visible})


def test_the_cpu_in_the_place_of_a_gpu_is_a_warning() -> None:
    assert choose_device("cpu", 0) == choose_device("cpu", 2) == ("cpu", None)
    assert choose_device("auto", 2) == choose_device("cuda", 1) == ("cuda:0", None)
    assert choose_device("cuda:1", 2) == ("cuda:1", None)
    name, warning = choose_device("auto", 0, "no driver")
    assert name == "cpu" and warning is not None and "can use no GPU: no driver, so the CPU is used" in warning


@pytest.mark.parametrize(
    ("device", "cards", "message"),
    [
        ("cuda", 0, "'cuda', but torch can use no GPUs here: no driver; set DEVICE"),
        ("cuda:1", 1, "'cuda:1', but torch can use 1 GPU here; set DEVICE"),
        ("cuda:2", 2, "can use 2 GPUs here"),
        ("gpu", 1, "use cuda, or cuda:N"),
    ],
)
def test_a_gpu_that_is_not_there_is_an_error(device: str, cards: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose_device(device, cards, "no driver")
