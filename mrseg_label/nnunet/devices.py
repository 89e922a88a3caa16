"""Which device a network runs on: the card that a process is given, and what nnU-Net sets for it.

nnU-Net trains on the first card that its process sees, whatever number it is told. A process that shall use another
card must therefore see that card alone, by CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mrseg_label.errors import ConfigurationError
from mrseg_label.nnunet.environment import available_cores, parse_device

if TYPE_CHECKING:
    import torch

VISIBLE_CARDS, CARD_ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
# Numbers of cards as nvidia-smi lists them. By default CUDA numbers the fastest card first.
_DRIVER_ORDER = "PCI_BUS_ID"


def variables_for(device: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a process of its own that shall use this device; there it is :func:`device_inside`.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, N counted among the cards that this process may use.
    environment : of this process; its CUDA_VISIBLE_DEVICES, which Slurm and containers set, is respected.

    Raises
    ------
    ConfigurationError
        The device is none of these, or this process may not use a card of that number.
    """
    environment = os.environ if environment is None else environment
    kind, number = parse_device(device)
    if kind == "cpu":
        return {VISIBLE_CARDS: ""}  # otherwise nnU-Net's loader would reserve memory on a card
    if VISIBLE_CARDS not in environment:
        order = {CARD_ORDER: environment.get(CARD_ORDER, _DRIVER_ORDER)}
        return order if number is None else {**order, VISIBLE_CARDS: str(number)}
    if number is None:
        return {}
    cards = [card.strip() for card in environment[VISIBLE_CARDS].split(",") if card.strip()]
    if number >= len(cards):
        raise ConfigurationError(
            f"DEVICE is {device!r}, but {VISIBLE_CARDS} is {environment[VISIBLE_CARDS]!r} and leaves {len(cards)} of the "
            "GPUs; set DEVICE to one of them, counted from 0"
        )
    return {VISIBLE_CARDS: cards[number]}


def device_inside(device: str) -> str:
    """Name of a device in a process that was given the variables of :func:`variables_for`."""
    return parse_device(device)[0]


def number_cards_as_the_driver() -> None:
    """Let this process number the cards as nvidia-smi and the processes that it starts do; call it before torch is used."""
    if VISIBLE_CARDS not in os.environ:
        os.environ.setdefault(CARD_ORDER, _DRIVER_ORDER)


def choose_device(device: str, cards: int, reason: str = "") -> tuple[str, str | None]:
    """Choose where networks run.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    cards : number of GPUs that torch can use.
    reason : why there are none, if there are none.

    Returns
    -------
    name : as torch names it.
    warning : that the CPU takes the place of a GPU; None if it does not.

    Raises
    ------
    ConfigurationError
        A GPU is asked for that is not there.
    """
    kind, number = parse_device(device)
    why = f": {reason}" if reason else ""
    if kind == "cuda" and cards <= (number or 0):
        raise ConfigurationError(
            f"DEVICE is {device!r}, but torch can use {cards or 'no'} GPU{'' if cards == 1 else 's'} here{'' if cards else why}; "
            "set DEVICE to auto or cpu, and run mrseg-label doctor"
        )
    if kind == "auto" and not cards:
        return "cpu", (
            f"DEVICE is auto and torch can use no GPU{why}, so the CPU is used, which is many times slower; see "
            'mrseg-label doctor, or set DEVICE = "cpu" if that is meant'
        )
    if kind == "cpu":
        return "cpu", None
    return f"cuda:{number or 0}", None


def find_device(device: str) -> tuple[torch.device, str | None]:
    """Choose a device for this process as :func:`choose_device` does, by what torch finds."""
    import torch

    name, warning = choose_device(device, torch.cuda.device_count(), _why_no_card())
    return torch.device(name), warning


def _why_no_card() -> str:
    import torch

    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if os.environ.get(VISIBLE_CARDS, "0").strip() in ("", "-1", "NoDevFiles"):
        return f"{VISIBLE_CARDS} is {os.environ[VISIBLE_CARDS]!r}"
    return "no GPU or no driver of NVIDIA that fits it"


def prepare_torch(device: torch.device, threads: int | None) -> None:
    """Set what nnU-Net's own training command sets (``nnunetv2.run.run_training``, version 2.6 and later).

    Parameters
    ----------
    threads : of torch; by default one for each core on the CPU, and one beside a GPU, where more do not help.
    """
    import torch

    torch.set_num_threads(threads or (1 if device.type == "cuda" else available_cores()))
    if device.type == "cuda":
        with contextlib.suppress(RuntimeError):  # only the first call in a process has an effect
            torch.set_num_interop_threads(1)
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = True
