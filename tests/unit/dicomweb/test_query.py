"""What people write as a query becomes what DICOMweb understands, or a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrseg_label.dicomweb.query import MAX_IDENTIFIERS, is_uid, parse_query, read_list
from mrseg_label.dicomweb.studies import NotDicomJson, Study, series_of
from mrseg_label.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "dicom"),
    [
        ("", ""),
        ("2025-03-01", "20250301"),
        ("20250301", "20250301"),
        ("2025-01-01..2025-06-30", "20250101-20250630"),
        ("20250101-20250630", "20250101-20250630"),
        ("2025-01-01:", "20250101-"),
        ("..2025-06-30", "-20250630"),
        ("2025-01-01-2025-06-30", "20250101-20250630"),
    ],
)
def test_dates(written: str, dicom: str) -> None:
    assert parse_query(f" {written} ").dates == dicom


@pytest.mark.parametrize(
    "written", ["2025", "2025-02-30", "2025-06-30..2025-01-01", "..", "-", "yesterday", "20250101-20250630-20250701"]
)
def test_what_is_no_date_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="date"):
        parse_query(written)


def test_which_dates_a_query_covers() -> None:
    spring = parse_query("2025-03-01..2025-05-31")
    assert spring.covers("20250301") and spring.covers("20250531")
    assert not any(spring.covers(date) for date in ("20250228", "20250601", ""))
    assert parse_query("2025-03-01..").covers("20991231") and not parse_query("..2025-03-01").covers("20250302")
    assert parse_query("2025-03-01").covers("20250301") and not parse_query("2025-03-01").covers("20250302")
    assert parse_query().covers("")


def test_descriptions_in_any_case_and_as_patterns() -> None:
    assert parse_query(description="dixon").matches("t1_VIBE_Dixon_tra")
    assert parse_query(description="*_W").matches("t1_vibe_dixon_w") and not parse_query(description="W*").matches("_w")
    for bad in ("x" * 201, "a\x00b"):
        with pytest.raises(InvalidInput, match="printable"):
            parse_query(description=bad)


def test_modalities() -> None:
    assert parse_query().modalities == ("MR", "CT")
    assert parse_query(modalities="mr, CT mr").modalities == ("MR", "CT")
    with pytest.raises(InvalidInput, match=r"'\*' is not a modality"):
        parse_query(modalities="*")


def test_a_list_has_a_uid_or_an_accession_number_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\ufeff# studies of March\n1.2.840.113619.2.1\n\n'A-17'  # the second\n1.2.840.113619.2.1\n")
    assert parse_query(identifiers=read_list(path)).identifiers == ("1.2.840.113619.2.1", "A-17")
    assert (
        is_uid("1.2.840.113619.2.1") and not is_uid("20250301") and not is_uid("A-17") and not is_uid("1.2." + "3" * 64)
    )
    path.write_text("# nothing\n")
    with pytest.raises(InvalidInput, match="no UID"):
        read_list(path)
    with pytest.raises(InvalidInput, match="no such list"):
        read_list(tmp_path / "none")
    for bad in ("A*", "?", "one two", "x" * 65, "a,b"):
        with pytest.raises(InvalidInput, match="neither a UID nor an accession number"):
            parse_query(identifiers=[bad])
    with pytest.raises(InvalidInput, match="at most"):
        parse_query(identifiers=["1"] * (MAX_IDENTIFIERS + 1))


def test_answers_are_read_as_text_and_uids_alone_become_part_of_addresses() -> None:
    study = Study.of(
        {
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "00080020": {"vr": "DA", "Value": ["2025.03.01"]},
            "00081030": {"vr": "LO", "Value": ["whole\x07 body" + "x" * 300]},
            "00080050": {"vr": "SH"},
        }
    )
    assert (study.uid, study.day, study.accession) == ("1.2.3", "2025-03-01", "")
    assert study.description.startswith("whole body") and len(study.description) < 201
    assert Study("1", "", "").day == ""
    found = series_of({"0020000E": {"Value": ["1.2"]}, "00201209": {"Value": ["many"]}, "00080060": "MR"}, "1")
    assert (found.modality, found.instances, found.number) == ("", None, None)
    nonsense: list[object] = [{}, [], "text", {"0020000D": {"Value": ["../1"]}}, {"0020000D": {"Value": [{}]}}]
    for bad in nonsense:
        with pytest.raises(NotDicomJson):
            Study.of(bad)
