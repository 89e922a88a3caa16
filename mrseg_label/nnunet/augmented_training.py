"""Where a round's trainers meet nnU-Net's augmentation: its transforms, its patches and the data sets behind its loader."""

from __future__ import annotations

from typing import Any

import numpy as np
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import nnUNetTrainerNoMirroring

from mrseg_label.nnunet import augmentation
from mrseg_label.nnunet.mirroring import PAIRS_KEY, left_right_axis, mirrored_labels
from mrseg_label.nnunet.profiles import TrainingProfile


class AugmentedTraining(nnUNetTrainerNoMirroring):
    """nnU-Net's trainer with the augmentation of a profile. Predictions are never mirrored, as left and right differ."""

    profile: TrainingProfile
    _labels_by_case: dict[str, set[int]] | None = None

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, ...]:  # noqa: N802
        """Choose the patches; without nnU-Net's augmentation they are as large as what the network sees."""
        rotation, slice_by_slice, initial_patch, mirrored = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if not self.profile.augments:
            initial_patch = np.array(self.configuration_manager.patch_size)
        return rotation, slice_by_slice, initial_patch, mirrored

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:
        """Return nnU-Net's transforms with those of the profile; nnU-Net calls it on the instance."""
        if self.profile.augments:
            stock = super().get_training_transforms(*args, **kwargs)
        else:
            stock = nnUNetTrainerNoDA.get_training_transforms(*args, **kwargs)
        return augmentation.with_profile(stock, self.profile, self._mirror())

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """Return nnU-Net's data sets; small structures come first in the one to train on if the profile says so."""
        training, validation = super().get_tr_and_val_datasets()
        if self.profile.small_structure_exponent is not None:
            shares = augmentation.shares_of(self._training_labels().values())
            training = augmentation.SmallStructuresFirst(training, self.profile.small_structure_exponent, shares)
        return training, validation

    def _mirror(self) -> augmentation.MirrorLeftRight | None:
        if not self.profile.mirror_left_right:
            return None
        present = {label for labels in self._training_labels().values() for label in labels}
        pairs = self.dataset_json.get(PAIRS_KEY, ())
        table, remark = mirrored_labels(self.dataset_json["labels"], pairs, present)
        if remark:
            self.print_to_log_file(remark)
        if table is None:
            return None
        axis = left_right_axis(self.plans_manager.transpose_forward)
        return augmentation.MirrorLeftRight(axis, table)

    def _training_labels(self) -> dict[str, set[int]]:
        """Labels of structures by training case."""
        if self._labels_by_case is None:
            self._labels_by_case = augmentation.labels_by_case(super().get_tr_and_val_datasets()[0])
        return self._labels_by_case
