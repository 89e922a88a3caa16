"""Sequence types from DICOM attributes."""

from __future__ import annotations

from typing import Any

import pytest

from mrseg_label.imaging.dicom import read_frames
from mrseg_label.intake.dicom.sequence_names import reason_to_refuse, sequence_of
from tests.support import dicom_files as dcm


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"SeriesDescription": "Dixon_BH_17s_in"}, "in"),
        ({"SeriesDescription": "Dixon_BH_17s_opp"}, "opp"),
        ({"SeriesDescription": "Dixon_BH_17s_F"}, "fat"),
        ({"SeriesDescription": "Dixon_BH_17s_W"}, "water"),
        ({"SeriesDescription": "mDIXON", "ImageType": ["DERIVED", "PRIMARY", "W", "W", "DERIVED"]}, "water"),
        ({"SeriesDescription": "lava", "ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "OUT_PHASE"]}, "opp"),
        ({"SeriesDescription": "t1_vibe_fs_tra"}, "t1fs"),
        ({"SeriesDescription": "t1_vibe_tra", "ScanOptions": ["PFP", "FS"]}, "t1fs"),
        ({"SeriesDescription": "T2 HASTE cor"}, "t2"),
        ({"SeriesDescription": "t2_tse_fs"}, "t2fs"),
        ({"SeriesDescription": "whatever", "ScanningSequence": "SE", "EchoTime": 90, "RepetitionTime": 3000}, "t2"),
        ({"SeriesDescription": "whatever", "ScanningSequence": "SE", "EchoTime": 10, "RepetitionTime": 500}, "t1"),
        ({"SeriesDescription": "Mueller, private words"}, ""),
        ({"Modality": "CT", "SeriesDescription": "Abdomen_F"}, "ct"),
    ],
)
def test_sequence_type_of_attributes_and_words(attributes: dict[str, Any], name: str) -> None:
    (ds, *_) = dcm.series(dcm.noise(1), **attributes)
    (frame,) = read_frames(dcm.as_bytes(ds), "f")
    assert sequence_of(frame) == name
    assert reason_to_refuse([frame]) is None
