"""When a network is compiled, and what becomes of a training whose network cannot be."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch

from mrseg_label.nnunet.compilation import CompiledTraining, plain_network, wants_compilation
from mrseg_label.nnunet.profiles import profile_named


def test_a_network_is_compiled_where_nnunets_own_command_compiles_it() -> None:
    full, tiny = profile_named("full"), profile_named("tiny")
    assert wants_compilation(full, "cuda", {}) == (True, None)
    assert wants_compilation(full, "cuda", {"nnUNet_compile": "f"}) == (False, "nnUNet_compile is 'f'")
    assert wants_compilation(full, "cpu", {}) == wants_compilation(tiny, "cuda", {}) == (False, None)
    assert wants_compilation(replace(tiny, compile_network=True), "cpu", dict(os.environ)) == (True, None)


def compiled_trainer(problem: str) -> CompiledTraining:
    """A trainer whose network torch compiles by a compiler that is broken."""

    def compiler(_graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Any:
        raise OSError(problem)

    trainer = CompiledTraining.__new__(CompiledTraining)
    torch.manual_seed(0)
    trainer.network = torch.compile(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()), backend=compiler)
    return trainer


def test_a_compiler_that_fails_leaves_the_training_as_it_is() -> None:
    trainer = compiled_trainer("gcc: not found")
    compiled = trainer.is_compiled
    assert compiled
    plain = plain_network(trainer.network)
    batch = {"data": torch.ones(4, 2)}
    torch.manual_seed(1)
    result = trainer._attempt("train", lambda batch: {"out": trainer.network(batch["data"])}, batch)
    torch.manual_seed(1)
    torch.testing.assert_close(result["out"], plain(batch["data"]))
    assert trainer.network is plain and not trainer.is_compiled
    assert trainer.not_compiled is not None and "gcc: not found" in trainer.not_compiled


def test_a_step_that_fails_without_the_compiler_too_is_an_error() -> None:
    trainer = compiled_trainer("gcc: not found")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trainer._attempt("train", lambda batch: {"out": trainer.network(batch["data"])}, {"data": torch.ones(4, 3)})
    assert trainer.not_compiled is None
