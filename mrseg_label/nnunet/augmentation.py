"""What a round's trainers change in nnU-Net's augmentation and choice of patches, as the training profile says.

nnU-Net's own list of transforms stays as it is; ours are added to it. All random numbers come from the generators of
NumPy and torch that nnU-Net's transforms use, so that seeding those seeds everything. Only the trainers import this
module, since it imports torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from numpy.typing import NDArray

from mrseg_label.nnunet.profiles import TrainingProfile

_GAMMA = (0.5, 2.0)
_MIRROR_PROBABILITY = 0.5


class MirrorLeftRight(BasicTransform):
    """Mirror half of the patches left to right, and give each voxel the label that is true in the mirror.

    Parameters
    ----------
    axis : spatial axis of the patch that runs from left to right, 0 to 2.
    labels : label in the mirror image by label, as :func:`mrseg_label.nnunet.mirroring.mirrored_labels` makes it.
    """

    def __init__(self, axis: int, labels: Sequence[int]) -> None:
        super().__init__()
        self.axis = axis
        self.labels = torch.tensor(labels, dtype=torch.int16)

    def get_parameters(self, **_: Any) -> dict[str, Any]:
        """Decide whether this patch is mirrored."""
        return {"mirror": np.random.uniform() < _MIRROR_PROBABILITY}

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        return img.flip(self.axis + 1) if params["mirror"] else img

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        if not params["mirror"]:
            return segmentation
        return self.labels[segmentation.flip(self.axis + 1).long()].to(segmentation.dtype)


def with_profile(
    stock: ComposeTransforms, profile: TrainingProfile, mirror: MirrorLeftRight | None = None
) -> ComposeTransforms:
    """Add a profile's transforms to those of nnU-Net's trainer.

    Changes of intensity come first of all but the spatial transform: later ones of nnU-Net restore what lies outside of
    its mask. Mirroring comes when voxels outside of the image have become background, and before the labels are made
    smaller for deep supervision.
    """
    transforms: list[BasicTransform] = list(stock.transforms)
    if profile.nearest_labels:
        for transform in transforms:
            if isinstance(transform, SpatialTransform):
                transform.mode_seg = "nearest"
    # Beside augmentation slice by slice, a slice is a channel until it is converted back.
    last = [k for k, one in enumerate(transforms) if isinstance(one, SpatialTransform | Convert2DTo3DTransform)]
    position = last[-1] + 1 if last else 0
    transforms[position:position] = _intensity(profile)
    if mirror is not None:
        position = 1 + next(k for k, transform in enumerate(transforms) if isinstance(transform, RemoveLabelTransform))
        transforms.insert(position, mirror)
    return ComposeTransforms(transforms)


def _intensity(profile: TrainingProfile) -> list[BasicTransform]:
    transforms: list[BasicTransform] = []
    if profile.inversion:
        transforms.append(InvertImageTransform(profile.inversion))
    if profile.gamma:
        gamma = GammaTransform(
            _GAMMA, p_invert_image=0.5, synchronize_channels=False, p_per_channel=1, p_retain_stats=1
        )
        transforms.append(RandomTransform(gamma, profile.gamma))
    return transforms


class SmallStructuresFirst:
    """nnU-Net's preprocessed cases; a patch around a structure lies around a small or rare one more often.

    For a patch that must hold a structure, nnU-Net's loader draws one of the case's structures, each with the same
    probability. Here a structure of n voxels in this case, which occurs in a share s of all cases, is drawn with a
    probability proportional to n^-exponent / s, and is the only one that the loader sees. Of n, nnU-Net lists at most
    10,000 voxels or 1 %, so that larger structures count as equal.

    Parameters
    ----------
    cases : nnU-Net's data set.
    shares : share of the cases in which a label occurs, by label.
    """

    def __init__(self, cases: Any, exponent: float, shares: Mapping[int, float]) -> None:
        self._cases = cases
        self._exponent = exponent
        self._shares = dict(shares)
        self.identifiers = cases.identifiers

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Load a case as nnU-Net does, with the voxels of one structure, and those of all known ones where it lists them."""
        data, segmentation, previous, properties = self._cases.load_case(identifier)
        locations = properties["class_locations"]
        labels = [label for label, voxels in locations.items() if not isinstance(label, tuple) and len(voxels)]
        if labels:
            counts = [len(locations[label]) for label in labels]
            chosen = labels[int(np.random.choice(len(labels), p=self.probabilities(labels, counts)))]
            listed = {label: voxels for label, voxels in locations.items() if isinstance(label, tuple)}
            properties = {**properties, "class_locations": {**listed, chosen: locations[chosen]}}
        return data, segmentation, previous, properties

    def probabilities(self, labels: Sequence[int], counts: Sequence[int]) -> NDArray[np.float64]:
        """Probability of each structure of a case, (structures,)."""
        shares = np.array([self._shares.get(label, 1.0) for label in labels])
        weights = np.asarray(counts, float) ** -self._exponent / shares
        probabilities: NDArray[np.float64] = weights / weights.sum()
        return probabilities


def labels_by_case(cases: Any) -> dict[str, set[int]]:
    """Find the structures' labels that occur in each of nnU-Net's preprocessed cases."""
    found = {}
    for identifier in cases.identifiers:
        locations = cases.load_case(identifier)[3]["class_locations"]
        found[identifier] = {
            label for label, voxels in locations.items() if not isinstance(label, tuple) and len(voxels)
        }
    return found


def shares_of(labels: Collection[Collection[int]]) -> dict[int, float]:
    """Share of the cases in which each label occurs."""
    everything = {label for one in labels for label in one}
    return {label: sum(label in one for one in labels) / len(labels) for label in everything}
