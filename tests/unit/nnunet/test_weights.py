"""Warm start and loss, on small tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mrseg_label.errors import InvalidInput
from mrseg_label.nnunet.losses import AnnealedDiceCrossEntropy
from mrseg_label.nnunet.warm_start import warm_start

LABELS = {"background": 0, "spine": 1, "spleen": 2, "liver": 3}


def network(classes: int, features: int = 4, seed: int = 0) -> dict[str, Tensor]:
    """The state of a network with one convolution and two output layers."""
    generator = torch.Generator().manual_seed(seed)
    state = {"encoder.conv.weight": torch.randn(features, 1, 3, 3, 3, generator=generator)}
    for level in range(2):
        state[f"decoder.seg_layers.{level}.weight"] = torch.randn(classes, features, 1, 1, 1, generator=generator)
        state[f"decoder.seg_layers.{level}.bias"] = torch.randn(classes, generator=generator)
    return state


def write_model(root: Path, state: dict[str, Tensor], labels: dict[str, int]) -> Path:
    folder = root / "Dataset297_x" / "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text("{}")
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    halves = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"network_weights": halves}, folder / "fold_0" / "checkpoint_final.pth")
    return root


def test_heads_are_means_over_the_parts_of_a_structure(tmp_path: Path) -> None:
    source = network(6, seed=1)
    source["decoder.seg_layers.0.bias"][4] = -60  # a vertebra whose level was never learned
    model = write_model(tmp_path, source, {})
    own = network(4)
    state, report = warm_start(own, model, LABELS, {1: (3, 4, 5), 2: (2,)})
    torch.testing.assert_close(state["encoder.conv.weight"], source["encoder.conv.weight"], atol=2e-3, rtol=1e-3)
    for level, parts in ((0, [3, 5]), (1, [3, 4, 5])):
        for kind in ("weight", "bias"):
            name = f"decoder.seg_layers.{level}.{kind}"
            expected = own[name].clone()
            expected[0], expected[1], expected[2] = source[name][0], source[name][parts].mean(0), source[name][2]
            torch.testing.assert_close(state[name], expected, atol=2e-3, rtol=1e-3)
            assert state[name].dtype == torch.float32
    assert report.heads_without_source == ["liver"]
    assert report.copied == 5
    assert report.skipped == {}
    assert report.to_json()["source"].startswith("nnUNetTrainer_4000epochs")


def test_heads_by_name_whatever_their_numbers(tmp_path: Path) -> None:
    source = network(4, seed=1)
    model = write_model(tmp_path, source, {"background": 0, "liver": 1, "spine": 2, "spleen": 3})
    state, report = warm_start(network(4), model, LABELS)
    name = "decoder.seg_layers.1.bias"
    torch.testing.assert_close(state[name], source[name][[0, 2, 3, 1]], atol=2e-3, rtol=1e-3)
    assert report.heads_without_source == []


def test_another_architecture_is_reported_and_does_not_fail(tmp_path: Path) -> None:
    source = network(6, features=8, seed=1)
    del source["decoder.seg_layers.1.weight"], source["decoder.seg_layers.1.bias"]
    own = network(4)
    state, report = warm_start(own, write_model(tmp_path, source, {}), LABELS, {2: (2,)})
    fitting = "decoder.seg_layers.1.bias"  # the finest one of both
    for name in own:
        if name != fitting:
            torch.testing.assert_close(state[name], own[name])
    assert set(report.skipped) == set(own) - {fitting}
    assert "shape (8, 1, 3, 3, 3)" in report.skipped["encoder.conv.weight"]
    assert "no tensor at this place" in report.skipped["decoder.seg_layers.0.bias"]
    assert "copied 1 of 5 tensors, so the rest started from random weights" in (report.warning() or "")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_a_warm_start_looks_through_compiled_and_distributed_networks(tmp_path: Path, prefix: str) -> None:
    source = network(4, seed=1)
    model = write_model(tmp_path, {f"{prefix}{name}": tensor for name, tensor in source.items()}, LABELS)
    own = {f"_orig_mod.{name}": tensor for name, tensor in network(4).items()}
    state, report = warm_start(own, model, LABELS)
    assert report.copied == len(own) and report.skipped == {} and report.warning() is None
    for name, tensor in source.items():
        torch.testing.assert_close(state[f"_orig_mod.{name}"], tensor, atol=2e-3, rtol=1e-3)


def test_a_warm_start_that_copies_nothing_is_a_warning(tmp_path: Path) -> None:
    model = write_model(tmp_path, {"other.weight": torch.zeros(1)}, LABELS)
    _, report = warm_start(network(4), model, LABELS)
    warning = report.warning()
    assert warning is not None and "copied 0 of 5 tensors, so the training started from random weights" in warning


FEATURES = (4, 8, 16, 16, 16)


def unet(stages: int, classes: int = 4, residual: bool = False) -> dict[str, Tensor]:
    """The state of one of nnU-Net's networks; two with one stage more or less are alike at the fine end."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

    common = {
        "input_channels": 1,
        "n_stages": stages,
        "features_per_stage": FEATURES[:stages],
        "conv_op": torch.nn.Conv3d,
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "num_classes": classes,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": torch.nn.InstanceNorm3d,
        "norm_op_kwargs": {"affine": True},
        "deep_supervision": True,
    }
    depth = [1] * stages
    made = (
        ResidualEncoderUNet(**common, n_blocks_per_stage=depth)
        if residual
        else PlainConvUNet(**common, n_conv_per_stage=depth)
    )
    return dict(made.state_dict())


@pytest.mark.parametrize("theirs", [5, 3])
def test_decoders_are_aligned_at_the_finest_grid(tmp_path: Path, theirs: int) -> None:
    torch.manual_seed(0)
    source, own = unet(theirs), unet(4)
    state, report = warm_start(own, write_model(tmp_path, source, LABELS), LABELS)
    ours, last = 2, theirs - 2  # numbers of the finest stages of the two decoders
    for part in ("stages", "transpconvs", "seg_layers"):
        for distance in range(min(4, theirs) - 1):
            # Coarser than this, the transposed convolution comes from a stage that one of the two networks lacks.
            names = [name for name in own if name.startswith(f"decoder.{part}.{ours - distance}.")]
            assert names
            for name in names:
                place = name.replace(f"{part}.{ours - distance}.", f"{part}.{last - distance}.")
                torch.testing.assert_close(state[name], source[place], atol=2e-3, rtol=1e-3)
    missing = {
        name
        for name in own
        if any(
            f"stages.{3}." in name or f"decoder.{part}.0." in name for part in ("stages", "transpconvs", "seg_layers")
        )
    }
    assert set(report.skipped) == (missing if theirs == 3 else set())
    assert report.warning() is None and report.heads_without_source == []


def test_an_encoder_under_one_of_its_two_names_is_enough(tmp_path: Path) -> None:
    source, own = unet(3), unet(3)
    once = {name: tensor for name, tensor in source.items() if not name.startswith("decoder.encoder.")}
    state, report = warm_start(own, write_model(tmp_path, once, LABELS), LABELS)
    assert report.skipped == {}
    name = "encoder.stages.0.0.convs.0.conv.weight"
    torch.testing.assert_close(state[name], state[f"decoder.{name}"])
    torch.testing.assert_close(state[name], source[name], atol=2e-3, rtol=1e-3)


def test_a_residual_encoder_does_not_fit_and_is_reported(tmp_path: Path) -> None:
    _, report = warm_start(unet(4), write_model(tmp_path, unet(4, residual=True), LABELS), LABELS)
    warning = report.warning()
    assert warning is not None and "another architecture (encoder." in warning


def test_a_folder_without_one_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds 0 nnU-Net models"):
        warm_start(network(4), tmp_path, LABELS)


def loss_by_hand(logits: Tensor, target: Tensor, exponent: float) -> Tensor:
    classes = logits.shape[1]
    counts = torch.bincount(target.reshape(-1), minlength=classes).float()
    entropy = functional.cross_entropy(logits, target[:, 0], weight=(counts + 50) ** -exponent)
    one_hot = functional.one_hot(target[:, 0], classes).permute(0, 4, 1, 2, 3).float()
    probabilities = logits.softmax(1)
    dice = 2 * (probabilities * one_hot).sum((0, 2, 3, 4)) / (probabilities + one_hot).sum((0, 2, 3, 4))
    present = [c for c in range(1, classes) if counts[c]]
    return entropy + 1 - dice[present].mean()


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.5])
def test_loss_and_its_gradient_by_hand(exponent: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 5, 4, 6, 3, generator=generator, requires_grad=True)
    target = torch.randint(0, 4, (2, 1, 4, 6, 3), generator=generator)  # class 4 is nowhere
    ours = AnnealedDiceCrossEntropy(exponent)(logits, target.to(torch.int16))
    expected = loss_by_hand(logits, target, exponent)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits)[0], torch.autograd.grad(expected, logits)[0], atol=1e-6, rtol=1e-4
    )


def test_loss_of_a_patch_without_structures_is_finite() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    loss = AnnealedDiceCrossEntropy()(logits, torch.zeros(1, 1, 2, 2, 2, dtype=torch.int16))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_ignored_voxels_neither_cost_nor_teach() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 5, 4, 6, 3, generator=generator, requires_grad=True)
    target = torch.randint(0, 5, (2, 1, 4, 6, 3), generator=generator)
    target[:, :, 2:] = 5
    # Every voxel of half the grid is known, and the loss is that of this half alone.
    ours = AnnealedDiceCrossEntropy(0.3, ignore=5)(logits, target.to(torch.int16))
    torch.testing.assert_close(ours, loss_by_hand(logits[:, :, :2], target[:, :, :2], 0.3))
    (gradient,) = torch.autograd.grad(ours, logits)
    assert gradient[:, :, :2].any() and not gradient[:, :, 2:].any()
    known = target.clamp(max=4)
    torch.testing.assert_close(
        AnnealedDiceCrossEntropy(0.3, ignore=5)(logits, known), AnnealedDiceCrossEntropy(0.3)(logits, known)
    )


def test_loss_of_a_patch_in_which_nothing_is_known_is_zero() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    loss = AnnealedDiceCrossEntropy(ignore=3)(logits, torch.full((1, 1, 2, 2, 2), 3))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()
