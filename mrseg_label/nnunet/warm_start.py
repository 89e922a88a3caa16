"""Initial weights of a training from another network: a CT model, or the model of an earlier round.

A tensor is copied if the other network has one of the same place and shape. nnU-Net numbers the stages of the encoder from
the finest grid, but those of the decoder from the coarsest, so that the same place has another number in a network with
another number of stages: decoders are aligned at the finest grid. The output layers are copied head by head:
a structure's head is the mean of the heads that the other network has for its parts (``spine`` from the vertebrae),
so that a model of 117 structures can start one of 40.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel.orientations as nibo
import numpy as np

from mrseg_label.errors import InvalidInput
from mrseg_label.nnunet.conventions import CANONICAL, ModelConventions
from mrseg_label.nnunet.environment import find_configuration_folder
from mrseg_label.nnunet.network_axes import network_axes

if TYPE_CHECKING:
    from torch import Tensor

_HEADS = ".seg_layers."
_DECODER = re.compile(r"(decoder\.(?:stages|transpconvs|seg_layers)\.)(\d+)")
_WRAPPERS = ("_orig_mod.", "module.")
# A head whose bias is this far below the largest is never chosen: it was switched off, not learned.
_SWITCHED_OFF = 20.0


@dataclass
class WarmStartReport:
    """What a warm start copied.

    Attributes
    ----------
    source : name of the other model's configuration folder.
    copied : number of tensors that were copied; shared ones are counted under each of their names.
    skipped : tensors that kept their random values, with the reason.
    heads_without_source : structures whose heads kept their random values.
    encoder_tensors : number of tensors in the encoder of the new network, copied or not.
    """

    source: str
    copied: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    heads_without_source: list[str] = field(default_factory=list)
    encoder_tensors: int = 0

    def warning(self) -> str | None:
        """Say that little or nothing was copied; None if most was."""
        total = self.copied + len(self.skipped)
        encoder_skipped = [name for name in self.skipped if is_encoder(name)]
        if 2 * self.copied >= total and len(encoder_skipped) < self.encoder_tensors:
            return None
        name = (encoder_skipped or list(self.skipped))[0]
        example = f"{name}: {self.skipped[name]}"
        rest = "the training started from random weights" if not self.copied else "the rest started from random weights"
        return (
            f"the warm start from {self.source} copied {self.copied} of {total} tensors, so {rest}; the two networks have "
            f"another architecture ({example})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON for the report of a training."""
        return {
            "source": self.source,
            "copied": self.copied,
            "skipped": self.skipped,
            "heads_without_source": self.heads_without_source,
        }


def load_weights(configuration_folder: Path) -> dict[str, Tensor]:
    """Load the weights of a model's first fold as float32. Loading runs code in the file: load trusted models only.

    Raises
    ------
    InvalidInput
        No final checkpoint exists, or it holds no weights.
    """
    import torch

    paths = sorted(configuration_folder.glob("fold_*/checkpoint_final.pth"))
    if not paths:
        raise InvalidInput(
            f"{configuration_folder} has no fold_*/checkpoint_final.pth; give a model that is trained to the end"
        )
    checkpoint = torch.load(paths[0], map_location="cpu", weights_only=False)
    if not isinstance(checkpoint, dict) or "network_weights" not in checkpoint:
        raise InvalidInput(f"{paths[0]} is not a checkpoint of nnU-Net v2: it has no network_weights")
    return {plain_name(name): tensor.float() for name, tensor in checkpoint["network_weights"].items()}


def plain_name(name: str) -> str:
    """Drop what torch puts before the names of a network's tensors when it compiles or distributes it."""
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def is_encoder(name: str) -> bool:
    """Whether a tensor is part of an encoder, which nnU-Net's decoder has a second name for."""
    return plain_name(name).startswith(("encoder.", "decoder.encoder."))


def aligned_names(own: Iterable[str], source: Collection[str]) -> dict[str, str]:
    """Find the tensor at the same place in another network.

    Parameters
    ----------
    own, source : names of the tensors of the two networks, those of the second without the prefixes of wrappers.

    Returns
    -------
    Name in the other network by our name, for those that it has.
    """
    shift = _decoder_stages(source) - _decoder_stages(map(plain_name, own := list(own)))
    found = {}
    for name in own:
        plain = plain_name(name)
        if (match := _DECODER.match(plain)) is not None:
            plain = f"{match[1]}{int(match[2]) + shift}{plain[match.end() :]}"
        # Encoder and decoder share the encoder's tensors; some programs save them under one of the two names only.
        other = plain.removeprefix("decoder.") if plain.startswith("decoder.encoder.") else f"decoder.{plain}"
        for candidate in (plain, other):
            if candidate in source:
                found[name] = candidate
                break
    return found


def _decoder_stages(names: Iterable[str]) -> int:
    return 1 + max((int(match[2]) for name in names if (match := _DECODER.match(name))), default=-1)


def heads_by_name(labels: Mapping[str, int], source_labels: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    """Heads of each of our classes in another model, by the names of the structures."""
    return {
        number: (int(source_labels[name]),)
        for name, number in labels.items()
        if isinstance(source_labels.get(name), int)
    }


def warm_start(
    own: Mapping[str, Tensor],
    source_folder: Path,
    labels: Mapping[str, int],
    heads: Mapping[int, Sequence[int]] | None = None,
    transpose_forward: Sequence[int] = (0, 1, 2),
) -> tuple[dict[str, Tensor], WarmStartReport]:
    """Make the initial weights of a network from another model.

    Parameters
    ----------
    own : state of the new network, with its random values.
    source_folder : a model folder of ours or of TotalSegmentator, or a folder that holds one.
    labels : class of each structure of the new network, background included.
    heads : classes of the other network for each of ours; by default those of the same name. Background is
        always copied from background.
    transpose_forward : permutation of the axes in the new network's plans. Where the other network was trained on
        images in another orientation, its kernels are turned.

    Returns
    -------
    A complete state for the new network, and what was copied. Another architecture is not an error: the report lists
    the tensors that do not fit.
    """
    folder = find_configuration_folder(source_folder)
    source = turned_weights(load_weights(folder), folder, transpose_forward)
    if heads is None:
        heads = heads_by_name(labels, json.loads((folder / "dataset.json").read_text())["labels"])
    head_map = {0: (0,), **{ours: tuple(theirs) for ours, theirs in heads.items() if ours != 0}}
    report = WarmStartReport(folder.name, encoder_tensors=sum(map(is_encoder, own)))
    places = aligned_names(own, source)
    state = {name: tensor.clone() for name, tensor in own.items()}
    without_source: set[int] = set()
    for name, tensor in own.items():
        theirs = source[places[name]] if name in places else None
        if theirs is None:
            report.skipped[name] = "the other network has no tensor at this place"
        elif _HEADS in name:
            if theirs.shape[1:] != tensor.shape[1:]:
                report.skipped[name] = (
                    f"shape {tuple(theirs.shape)} of the other network does not fit {tuple(tensor.shape)}"
                )
                continue
            bias = source[places[name].rsplit(".", 1)[0] + ".bias"]
            state[name], missing = _heads(tensor, theirs, bias, head_map)
            without_source |= missing
            report.copied += 1
        elif theirs.shape != tensor.shape:
            report.skipped[name] = (
                f"shape {tuple(theirs.shape)} of the other network does not fit {tuple(tensor.shape)}"
            )
        else:
            state[name] = theirs.clone()
            report.copied += 1
    report.heads_without_source = [name for name, number in labels.items() if number in without_source]
    return state, report


def turned_weights(weights: Mapping[str, Tensor], folder: Path, transpose_forward: Sequence[int]) -> dict[str, Tensor]:
    """Turn the kernels of a network for images in our orientation, so that it finds in them what it found in its own.

    Parameters
    ----------
    folder : of the other model, whose plans and conventions say how the axes of its images lay.
    transpose_forward : permutation of the axes in the plans of the new network.
    """
    plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    try:
        orientation = ModelConventions.read(folder).orientation
    except InvalidInput:  # nobody stated it: as a start, the kernels serve as they are
        orientation = CANONICAL
    theirs = network_axes(orientation, plans.get("transpose_forward"))
    ours = network_axes(CANONICAL, list(transpose_forward))
    transform = nibo.ornt_transform(theirs, ours)
    if np.array_equal(transform, [[0, 1], [1, 1], [2, 1]]):
        return dict(weights)
    flipped = [axis + 2 for axis in range(3) if transform[axis, 1] < 0]
    order = [int(axis) + 2 for axis in np.argsort(transform[:, 0])]
    return {
        name: tensor.flip(flipped).permute(0, 1, *order).contiguous() if tensor.ndim == 5 else tensor
        for name, tensor in weights.items()
    }


def _heads(
    own: Tensor, theirs: Tensor, bias: Tensor, head_map: Mapping[int, tuple[int, ...]]
) -> tuple[Tensor, set[int]]:
    """Fill the rows of an output layer; returns it with the classes that have no source."""
    result = own.clone()
    missing = set()
    alive = bias > bias.max() - _SWITCHED_OFF
    for ours in range(len(own)):
        parts = [part for part in head_map.get(ours, ()) if part < len(theirs) and bool(alive[part])]
        if parts:
            result[ours] = theirs[parts].mean(dim=0)
        else:
            missing.add(ours)
    return result, missing
