"""The loss of short trainings: class-weighted cross entropy plus soft Dice over the classes that are present."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED_COUNT = 50.0  # keeps the weight of a class of a few voxels finite


class AnnealedDiceCrossEntropy(nn.Module):
    """Cross entropy weighted by (voxels of the class + 50)^-``exponent``, plus 1 - mean soft Dice.

    With forty structures, of which the largest has a thousand times the voxels of the smallest, a few hundred
    iterations of unweighted cross entropy find only the large ones. The weights find the small ones too, but make
    them too large; so the trainer lowers ``exponent`` from 0.5 to 0 in the course of the training.

    Parameters
    ----------
    exponent : of the weights; 0 weights all classes alike.
    ignore : class of voxels that do not enter the loss; none by default.

    References
    ----------
    Milletari F, Navab N, Ahmadi SA. V-Net. 3DV 2016. https://doi.org/10.1109/3DV.2016.79
    """

    def __init__(self, exponent: float = 0.5, ignore: int | None = None) -> None:
        super().__init__()
        self.exponent = exponent
        self.ignore = ignore

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Parameters
        ----------
        logits : (B, C, Z, Y, X) float.
        target : (B, 1, Z, Y, X) class of each voxel; voxels of ``ignore`` do not enter the loss.
        """
        classes = logits.shape[1]
        index = target.long()
        log_probabilities = functional.log_softmax(logits.float(), dim=1)
        if self.ignore is not None:
            # As one row of the known voxels, since nothing below depends on where a voxel lies.
            known = (index != self.ignore)[:, 0]
            index = index[:, 0][known][None, None, None, None]
            log_probabilities = log_probabilities.movedim(1, -1)[known].T[None, :, None, None]
            if not index.numel():
                return 0 * logits.sum()
        counts = torch.bincount(index.reshape(-1), minlength=classes).float()
        picked = log_probabilities.gather(1, index)
        weight = (counts + IGNORED_COUNT) ** -self.exponent
        voxel_weight = weight[index]
        cross_entropy = -(voxel_weight * picked).sum() / voxel_weight.sum()
        # Dice without one-hot maps: the overlap of a class is the sum of its probabilities at its target's voxels.
        shared = torch.zeros(classes, dtype=picked.dtype, device=picked.device)
        shared = shared.index_add(0, index.reshape(-1), picked.exp().reshape(-1))
        predicted = log_probabilities.exp().sum(dim=(0, 2, 3, 4))
        present = counts > 0
        present[0] = False
        if not bool(present.any()):
            return cross_entropy
        dice = 2 * shared[present] / (predicted[present] + counts[present])
        return cross_entropy + 1 - dice.mean()
