"""Names of UK Biobank zips and their manifests."""

from __future__ import annotations

from mrseg_label.intake.dicom.ukbiobank import parse_zip_name, read_manifest


def test_manifest_with_commas_that_are_not_quoted() -> None:
    text = (
        "filename,patientid,modality,date,series discription,size\r\n"
        "a.dcm,1234567,MR,May 1, 2014,Dixon_BH_17s_W,12\r\n"
        "b.dcm,1234567,MR,May 1, 2014 10:22,Dixon, BH, in,12\r\n"
        "c.dcm,1234567,MR,2014-05-01,plain_F,12\r\n"
        "short,line\r\n"
    )
    assert read_manifest(text.encode()) == {"a.dcm": "Dixon_BH_17s_W", "b.dcm": "Dixon, BH, in", "c.dcm": "plain_F"}
    assert read_manifest(b"no,such,columns\n1,2,3\n") == {}
    assert read_manifest(b"") == {}


def test_names_of_zips() -> None:
    found = parse_zip_name("1234567_20201_2_0.zip")
    assert found is not None
    assert (found.eid, found.field, found.visit) == ("1234567", "20201", "2_0")
    assert parse_zip_name("scan.zip") is None
