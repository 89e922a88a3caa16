"""Sequence types from DICOM attributes."""

from __future__ import annotations

from typing import Any

import pytest

from mrseg_label.imaging.dicom import UnusableImage, read_frames
from mrseg_label.intake.dicom.dixon import channel_by_echo, channel_in_text, is_map
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
        ({"SeriesDescription": "Ax T1 post OP"}, "t1"),
        ({"SeriesDescription": "T1 VIBE in inspiration"}, "t1"),
        ({"SeriesDescription": "LAVA FS in apnea", "ImageType": ["DERIVED", "PRIMARY", "DIXON", "WATER"]}, "water"),
        ({"SeriesDescription": "t1_fl2d_opp-in_tra", "EchoTime": 2.38, "MagneticFieldStrength": 1.5}, "opp"),
        ({"SeriesDescription": "t1_fl2d_opp-in_tra", "EchoTime": 4.76, "MagneticFieldStrength": 1.5}, "in"),
        ({"SeriesDescription": "t1_fl2d_opp-in_tra", "EchoTime": 3.6, "MagneticFieldStrength": 1.5}, "t1"),
    ],
)
def test_sequence_type_of_attributes_and_words(attributes: dict[str, Any], name: str) -> None:
    (ds, *_) = dcm.series(dcm.noise(1), **attributes)
    (frame,) = read_frames(dcm.as_bytes(ds), "f")
    assert sequence_of(frame) == name
    assert reason_to_refuse([frame]) is None


CHANNELS = {
    "in": (
        *(
            "InPhase: Ax LAVA Flex",
            "IN-PHASE: Ax IDEAL",
            "in mDIXON",
            "IP mDIXON BH",
            "sT1W_mDIXON_ip",
            "mDIXON in tra",
        ),
        *(
            "t1_vibe_dixon_tra_in",
            "t1_vibe_dixon_in_tra_bh",
            "t1_vibe_dixon_cor_in_ND",
            "WFOP In-Phase",
            "gre_wfi_tra_in",
        ),
        *("Ax LAVA Flex (InPhase)", "Ax T1 FSPGR IP", "T1 in phase post OP"),
    ),
    "opp": (
        *("OutPhase: Ax LAVA Flex", "Out-of-Phase: Ax LAVA", "OP mDIXON", "mDIXON_OP_bh", "mDIXON out tra", "WFOP OP"),
        *("t1_vibe_dixon_tra_opp", "t1_vibe_dixon_opp_tra_p2", "T1 opposed phase", "Ax FSPGR Out of Phase"),
    ),
    "water": (
        *("WATER: Ax LAVA Flex", "WATER:Ax T2 FSE Flex FatSat", "W mDIXON", "mDIXON_W_bh", "sT1W_mDIXON_W_BH"),
        *("t1_vibe_dixon_tra_W", "t1_vibe_dixon_W_tra", "t1_vibe_dixon_caipi5_W_exsp", "t2_tse_dixon_cor_W"),
        *("(Water) Ax", "Quick3D WFOP Water", "Fat Sep Water tra", "W mDIXON w contrast", "WATER: Flex in expiration"),
    ),
    "fat": (
        "FAT: Ax LAVA Flex",
        "Fat: IDEAL",
        "F mDIXON",
        "mDIXON F tra",
        "t1_vibe_dixon_tra_F",
        "WFOP_Fat_tra",
        "FatSep F",
    ),
    "": (
        *(
            "t1 tra in expiration",
            "mDIXON in inspiration",
            "t1_vibe_in_exsp",
            "T1 vibe in the morning",
            "knee in flexion",
        ),
        *("T1 VIBE breath in", "wash in", "wash-out", "T1 post OP", "T1 pre-OP", "T1 tse post op kontrolle"),
        *("T2 HASTE fat sat", "T1 fat-suppressed", "T1 water excitation", "3D WATS", "oral water", "Liver without fat"),
        *("Ax LAVA w/o contrast", "Ax LAVA w contrast", "LAVA w Gd", "T1 W tra", "T2 W", "PD_W_SPAIR", "T1 F/U"),
        *(
            "t1_fl2d_opp-in_tra",
            "T1 in/out of phase",
            "in and opposed phase",
            "IP/OP FFE",
            "water fat separation",
            "W/F",
        ),
    ),
}


@pytest.mark.parametrize(
    ("name", "channel"), [(name, channel) for channel, names in CHANNELS.items() for name in names]
)
def test_dixon_channel_of_a_description_wherever_its_word_stands(name: str, channel: str) -> None:
    assert channel_in_text(name) == channel


@pytest.mark.parametrize(
    "name",
    ["FatFrac: Ax IDEAL IQ", "R2*: Ax IDEAL IQ", "T2*: IDEAL IQ", "mDIXON FF", "FF mDIXON Quant", "LiverLab_PDFF"],
)
def test_maps_are_no_channels(name: str) -> None:
    assert is_map(name)
    (ds, *_) = dcm.series(dcm.noise(1), SeriesDescription=name)
    assert "map" in str(reason_to_refuse(read_frames(dcm.as_bytes(ds), "f")))


@pytest.mark.parametrize("name", ["T2* GRE", "FAT: Ax IDEAL IQ", "GRE for fat fraction, echo 1", "t2_medic", "T1 ff"])
def test_images_are_no_maps(name: str) -> None:
    assert not is_map(name)


@pytest.mark.parametrize(
    ("echo_ms", "field", "channel"),
    [
        (2.3, 1.5, "opp"),
        (4.6, 1.5, "in"),
        (1.2, 3.0, "opp"),
        (2.4, 3.0, "in"),
        (2.3, 15000, "opp"),
        (3.5, 1.5, ""),
        (None, 1.5, ""),
        (2.3, None, ""),
    ],
)
def test_phase_by_echo_time_and_field(echo_ms: float | None, field: float | None, channel: str) -> None:
    assert channel_by_echo(echo_ms, field) == channel


# The vendors' names of the four channels: description and last values of ImageType, in the order in, opp, fat, water.
VENDORS = {
    "GE": (("InPhase: %s", "OutPhase: %s", "FAT: %s", "WATER: %s"), "Ax LAVA Flex BH"),
    "Philips": (("IP %s", "OP %s", "F %s", "W %s"), "sT1W mDIXON tra"),
    "Philips last": (("%s_in", "%s_out", "%s_F", "%s_W"), "dyn_mDIXON"),
    "Siemens": (("%s_in", "%s_opp", "%s_F", "%s_W"), "t1_vibe_dixon_tra_bh"),
    "Siemens ND": (("%s_in_ND", "%s_opp_ND", "%s_F_ND", "%s_W_ND"), "t1_vibe_dixon_cor"),
    "Canon": (("%s In-Phase", "%s Opposed", "%s Fat", "%s Water"), "Quick3D WFOP"),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_four_channels_of_a_vendor_are_told_apart_without_a_telling_image_type(vendor: str) -> None:
    patterns, stem = VENDORS[vendor]
    named = [
        sequence_of(read_frames(dcm.as_bytes(dcm.series(dcm.noise(1), SeriesDescription=pattern % stem)[0]), "f")[0])
        for pattern in patterns
    ]
    assert named == ["in", "opp", "fat", "water"]


@pytest.mark.parametrize(
    ("image_type", "word"),
    [
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizer"),
        (["DERIVED", "SECONDARY", "MIP"], "projection"),
        (["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], "mosaic"),
        (["DERIVED", "PRIMARY", "ADC"], "computed map (adc)"),
    ],
)
def test_what_is_no_stack_of_slices_is_refused_with_its_kind(image_type: list[str], word: str) -> None:
    (ds, *_) = dcm.series(dcm.noise(1), ImageType=image_type)
    reason = reason_to_refuse(read_frames(dcm.as_bytes(ds), "f"))
    assert reason is not None
    assert word in reason


def test_a_missing_attribute_is_named() -> None:
    (ds, *_) = dcm.series(dcm.noise(1))
    del ds.Rows
    with pytest.raises(UnusableImage, match="the attribute Rows is missing$"):
        read_frames(dcm.as_bytes(ds), "f")
