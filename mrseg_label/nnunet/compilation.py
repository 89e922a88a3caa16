"""Train with a network that torch compiles, where it can, and with the network as it is where it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from mrseg_label.nnunet.environment import log
from mrseg_label.nnunet.profiles import TrainingProfile

_SWITCH = "nnUNet_compile"  # nnU-Net's own variable
_REASON_LENGTH = 300
Step = Callable[[dict[str, Any]], dict[str, Any]]


def wants_compilation(
    profile: TrainingProfile, device_type: str, environment: Mapping[str, str]
) -> tuple[bool, str | None]:
    """Decide whether torch compiles the network, and say why not where nnU-Net's own command would.

    Compiling takes a minute or two, so that a short training is faster without.
    """
    if profile.compile_network is not None:
        return profile.compile_network, None
    if device_type != "cuda" or profile.short_schedule:
        return False, None
    if environment.get(_SWITCH, "true").lower() not in ("true", "1", "t"):
        return False, f"{_SWITCH} is {environment[_SWITCH]!r}"
    return True, None


def plain_network(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network behind a compiled one, whose tensors have the names that checkpoints use."""
    plain: torch.nn.Module = network._orig_mod if isinstance(network, OptimizedModule) else network
    return plain


class CompiledTraining(nnUNetTrainer):
    """A trainer whose network is compiled; if that fails at the first step, the training goes on without.

    Whether it works is known only then: torch compiles at the first call, and needs a C compiler, the headers of Python
    and, for a GPU, Triton.
    """

    network: torch.nn.Module
    not_compiled: str | None = None
    _compile = False
    _steps_seen: frozenset[str] = frozenset()

    def choose_compilation(self, profile: TrainingProfile) -> None:
        """Decide before the network is built."""
        self._compile, self.not_compiled = wants_compilation(profile, self.device.type, os.environ)
        if self.not_compiled is not None:
            log.warning("the network is not compiled: %s", self.not_compiled)

    @property
    def is_compiled(self) -> bool:
        """Whether the network is compiled."""
        return isinstance(self.network, OptimizedModule)

    def _do_i_compile(self) -> bool:
        return self._compile

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one of nnU-Net's iterations."""
        return self._attempt("train", super().train_step, batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one of nnU-Net's iterations of validation."""
        return self._attempt("validation", super().validation_step, batch)

    def _attempt(self, name: str, step: Step, batch: dict[str, Any]) -> dict[str, Any]:
        if not self.is_compiled or name in self._steps_seen:
            return step(batch)
        random_state = torch.get_rng_state()
        try:
            result = step(batch)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever the compiler raises; of another cause it is raised again
            self.network = plain_network(self.network)
            torch.set_rng_state(random_state)
            result = step(batch)
            self.not_compiled = " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_LENGTH]
            log.warning("the network is not compiled: %s", self.not_compiled, exc_info=True)
        self._steps_seen |= {name}
        return result
