"""A stand-in for every network: it notes, bit by bit, what the network is given, and labels each voxel by its place.

Everything before and after the network is the product's own: what reads, turns and prepares the image, what translates labels to
those of the scheme, and what turns the mask back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime

_PREPARE = "mrseg_label.nnunet.preparing.prepare"
_RUN = "nnunetv2.inference.predict_from_raw_data.nnUNetPredictor.predict_logits_from_preprocessed_data"
_EXPORT = "mrseg_label.nnunet.export.export_logits"


def digest(array: NDArray[Any], *lengths: NDArray[Any] | Sequence[float]) -> str:
    """SHA-256 of an array with its type, shape and order in memory, and of a grid's lengths, all bits of them."""
    total = hashlib.sha256(repr((array.dtype.str, array.shape, array.strides)).encode())
    total.update(array.tobytes("A"))
    for values in lengths:
        total.update(np.asarray(values, dtype=np.float64).tobytes())
    return total.hexdigest()


def labelled_by_place(shape: tuple[int, ...], labels: int) -> NDArray[np.uint8]:
    """A mask of labels 1 to ``labels`` without any symmetry, so that a turn or mirroring changes it."""
    return np.random.default_rng(0).integers(1, labels + 1, shape, dtype=np.uint8)


@contextmanager
def no_network(seen: list[str]) -> Iterator[None]:
    """Let the stand-in take the place of nnU-Net's and of TotalSegmentator's networks; digests are added to ``seen``."""

    def prepare(
        data: NDArray[np.float32],
        properties: Mapping[str, Any],
        _plans: Any,
        _configuration: Any,
        dataset: Mapping[str, Any],
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        seen.append(digest(data, properties["spacing"]))
        return np.zeros(1, np.float32), labelled_by_place(data.shape[1:], len(dataset["labels"]) - 1)

    def run(_self: Any, data: Any) -> Any:
        return data

    def export(_logits: Any, mask: NDArray[np.uint8], *_settings: Any, **_options: Any) -> SimpleNamespace:
        return SimpleNamespace(label_map=mask, uncertainty=None)

    def total_ids(self: TotalSegmentatorRuntime, array: NDArray[np.int16], geometry: Geometry) -> NDArray[np.uint8]:
        seen.append(digest(array, geometry.affine))
        return labelled_by_place(array.shape, 117 if self.network.label_set.endswith("total") else 50)

    with ExitStack() as stack:
        for name, function in ((_PREPARE, prepare), (_RUN, run), (_EXPORT, export)):
            stack.enter_context(patch(name, function))
        stack.enter_context(patch.object(TotalSegmentatorRuntime, "total_ids", total_ids))
        yield
