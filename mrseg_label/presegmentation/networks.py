"""The published networks that make drafts: what each was trained on, and under which licence its weights are given away.

=================  =========================================  ===========  ===================  ========================
network            published as                               orientation  weights              images of the training
=================  =========================================  ===========  ===================  ========================
``total_fast``     TotalSegmentator ``total --fast``, 3 mm    RAS          Dataset297           CT
``total``          TotalSegmentator ``total``, 1.5 mm         RAS          Dataset291 to 295    CT
``total_v3_fast``  TotalSegmentator ``total_v3 --fast``       RAS          Dataset836           CT
``total_v3``       TotalSegmentator ``total_v3``, 1.5 mm      RAS          Dataset831 to 835    CT
``total_mr_fast``  TotalSegmentator ``total_mr --fast``       RAS          Dataset852           MR and CT
``total_mr``       TotalSegmentator ``total_mr``, 1.5 mm      RAS          Dataset850 and 851   MR and CT
``mrsegmentator``  MRSegmentator                              LPS          WEIGHTS_PATH         MR and CT
=================  =========================================  ===========  ===================  ========================

TotalSegmentator's reader brings every image to RAS, and MRSegmentator's own to LPS, before nnU-Net sees it. nnU-Net's
SimpleITKIO, which the plans of a model may name, turns nothing: so the orientation is stated here.

References
----------
Wasserthal J et al. TotalSegmentator: robust segmentation of 104 anatomic structures in CT images. Radiol Artif
Intell 2023;5:e230024. https://doi.org/10.1148/ryai.230024
D'Antonoli TA et al. TotalSegmentator MRI: robust sequence-independent segmentation of multiple anatomic structures in
MRI. Radiology 2025;314:e241613. https://doi.org/10.1148/radiol.241613
Häntze H et al. MRSegmentator: multi-modality segmentation of 40 classes in MRI and CT. Radiol Artif Intell 2025.
https://doi.org/10.1148/ryai.240777
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mrseg_label.labels import (
    MRSEGMENTATOR,
    TOTALSEGMENTATOR_MR,
    TOTALSEGMENTATOR_TOTAL,
    TOTALSEGMENTATOR_V3,
    LabelScheme,
)
from mrseg_label.licences import MRSEGMENTATOR_WEIGHTS, TOTALSEGMENTATOR_WEIGHTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_3MM_TRAINER = "nnUNetTrainer_4000epochs_NoMirroring"
_TRAINER = "nnUNetTrainerNoMirroring"
_MR_TRAINER = "nnUNetTrainer_2000epochs_NoMirroring"


@dataclass(frozen=True)
class Network:
    """A published network.

    Attributes
    ----------
    name : as a source names it.
    title : for people.
    orientation : axis codes of the images that it was trained on; every image is turned there, and its mask back.
    label_set : which column of a label scheme has the ids of its classes.
    licence : under which its weights are given away, as their makers state it.
    trained_on_mr : whether it knows MR as it is. If not, an MR image is prepared to resemble CT.
    """

    name: str
    title: str
    orientation: str
    label_set: str
    licence: str
    trained_on_mr: bool

    def structures(self, scheme: LabelScheme) -> dict[str, tuple[int, ...]]:
        """List the classes of the network that make up each structure of a scheme.

        A scheme without a column for the label set gets the structures that are named as those of the default scheme.
        """
        return class_ids(self.label_set, scheme)

    def lookup(self, scheme: LabelScheme) -> NDArray[np.uint8]:
        """Make a table from class ids to label ids of a scheme: (65536,) uint8; 0 for classes without a structure."""
        import numpy as np  # here, since the server describes networks without it

        table = np.zeros(65536, dtype=np.uint8)
        for name, ids in self.structures(scheme).items():
            table[list(ids)] = scheme[name].id
        return table


@dataclass(frozen=True)
class TotalSegmentatorNetwork(Network):
    """A task of TotalSegmentator.

    Attributes
    ----------
    task, fast : as its API has them.
    folders : data sets whose networks it runs, as they are called below TOTALSEG_WEIGHTS_PATH.
    trainer : that they were trained with.
    download : the name under which ``totalseg_download_weights`` knows them.
    release : of TotalSegmentator's repository, that has them as archives.
    """

    task: str
    fast: bool
    folders: tuple[str, ...]
    trainer: str
    download: str
    release: str

    @property
    def model(self) -> str:
        """Name of the folder of the trained model in each folder of a data set."""
        return f"{self.trainer}__nnUNetPlans__3d_fullres"


def _totalsegmentator(
    task: str, fast: bool, folders: tuple[str, ...], trainer: str, download: str, release: str
) -> TotalSegmentatorNetwork:
    label_sets = {
        "total": TOTALSEGMENTATOR_TOTAL,
        "total_v3": TOTALSEGMENTATOR_V3,
        "total_mr": TOTALSEGMENTATOR_MR,
    }
    return TotalSegmentatorNetwork(
        name=f"{task}_fast" if fast else task,
        title=f"TotalSegmentator {task}, {'3' if fast else '1.5'} mm",
        orientation="RAS",
        label_set=label_sets[task],
        licence=TOTALSEGMENTATOR_WEIGHTS,
        trained_on_mr=task == "total_mr",
        task=task,
        fast=fast,
        folders=folders,
        trainer=trainer,
        download=download,
        release=release,
    )


TOTAL_FAST = _totalsegmentator(
    "total", True, ("Dataset297_TotalSegmentator_total_3mm_1559subj",), _3MM_TRAINER, "total_fast", "v2.0.0-weights"
)
TOTAL = _totalsegmentator(
    "total",
    False,
    (
        "Dataset291_TotalSegmentator_part1_organs_1559subj",
        "Dataset292_TotalSegmentator_part2_vertebrae_1532subj",
        "Dataset293_TotalSegmentator_part3_cardiac_1559subj",
        "Dataset294_TotalSegmentator_part4_muscles_1559subj",
        "Dataset295_TotalSegmentator_part5_ribs_1559subj",
    ),
    _TRAINER,
    "total",
    "v2.0.0-weights",
)
TOTAL_V3_FAST = _totalsegmentator(
    "total_v3",
    True,
    ("Dataset836_TotalSegmentator_total_3mm_1559subj",),
    _3MM_TRAINER,
    "total_v3_fast",
    "v3.0.0-weights",
)
TOTAL_V3 = _totalsegmentator(
    "total_v3",
    False,
    (
        "Dataset831_TotalSegmentator_part1_organs_1830subj",
        "Dataset832_TotalSegmentator_part2_vertebrae_1559subj",
        "Dataset833_TotalSegmentator_part3_cardiac_1830subj",
        "Dataset834_TotalSegmentator_part4_muscles_1830subj",
        "Dataset835_TotalSegmentator_part5_ribs_1559subj",
    ),
    _TRAINER,
    "total_v3",
    "v3.0.0-weights",
)
TOTAL_MR_FAST = _totalsegmentator(
    "total_mr", True, ("Dataset852_TotalSegMRI_total_3mm_1088subj",), _MR_TRAINER, "total_fast_mr", "v2.5.0-weights"
)
TOTAL_MR = _totalsegmentator(
    "total_mr",
    False,
    ("Dataset850_TotalSegMRI_part1_organs_1088subj", "Dataset851_TotalSegMRI_part2_muscles_1088subj"),
    _MR_TRAINER,
    "total_mr",
    "v2.5.0-weights",
)
MRSEGMENTATOR_NETWORK = Network(
    name="mrsegmentator",
    title="MRSegmentator",
    orientation="LPS",
    label_set=MRSEGMENTATOR,
    licence=MRSEGMENTATOR_WEIGHTS,
    trained_on_mr=True,
)
NETWORKS: Mapping[str, Network] = {
    network.name: network
    for network in (TOTAL_FAST, TOTAL, TOTAL_V3_FAST, TOTAL_V3, TOTAL_MR_FAST, TOTAL_MR, MRSEGMENTATOR_NETWORK)
}


def class_ids(label_set: str, scheme: LabelScheme) -> dict[str, tuple[int, ...]]:
    """List the ids of each structure in a label set; by name from the default scheme if the scheme has no such column."""
    stated = scheme.ids_in(label_set)
    if stated:
        return stated
    return {name: ids for name, ids in _default_class_ids(label_set).items() if name in scheme}


@cache
def _default_class_ids(label_set: str) -> Mapping[str, tuple[int, ...]]:
    return LabelScheme.default().ids_in(label_set)
