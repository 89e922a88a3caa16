"""Tables of participants as people save them, and rows whose codes are spelt otherwise than those of the images."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.files.matching import ParticipantTable, loose_key
from mrseg_label.intake.files.participants import ParticipantRow, parse_age, parse_sex, read_participants

ROWS = {"1": ("F", 61.5), "2": ("M", 44.0)}


@pytest.mark.parametrize(
    "data",
    [
        b"participant,sex,age\n1,F,61.5\n2,M,44\n",
        b"participant;sex;age\r\n1;F;61,5\r\n2;M;44\r\n",
        b"participant\tsex\tage\n1\tF\t61,5\n2\tM\t44\n",
        b"\xef\xbb\xbfparticipant,sex,age\n1,F,61.5\n2,M,44\n",
        "participant,sex,age\n1,F,61.5\n2,M,44\n".encode("utf-16"),
        b"sep=;\nparticipant;sex;age\n1;F;61,5\n2;M;44\n",
        b"\n;;\n\nparticipant;sex;age\n;;\n1;F;61,5\n\n  ; ;\n2;M;44\n",
        "Patienten-Nummer;Geschlecht;Alter (Jahre);Größe\n1;weiblich;61,5;1\n2;männlich;44;2\n".encode("cp1252"),
        b"Subject ID,Patient's Sex,Age at scan (years)\n1,female,61.5\n2,male,044Y\n",
        b"EID;Sex (M/F);AGE [y]\n1;w;61,5 Jahre\n2;m;44.0\n",
        b"subject_id,gender,age_years,note\n1,Female,61.5 years,x\n2,MALE,44,\n",
        b'"participant","sex","age"\n"1","F","61,5"\n"2","M","44"\n',
    ],
)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    rows, refused = read_participants(tmp_path / "t.csv")
    assert {code: (row.sex, row.age) for code, row in rows.items()} == ROWS
    assert refused == []


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\n\nparticipant;age\n1;old\n")
    assert [entry.source[-6:] for entry in read_participants(tmp_path / "t.csv")[1]] == ["line 4"]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"PK\x03\x04\x00\x00\x00", b"age,sex\n1,M\n"])
def test_what_is_no_table_of_participants_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"t\.csv"):
        read_participants(tmp_path / "t.csv")


def test_sex_and_age_as_people_write_them() -> None:
    assert [parse_sex(text) for text in ("w", "Mann", "D", "k.A.", "")] == ["F", "M", "O", None, None]
    assert [parse_age(text) for text in ("7 months", "018M", "61,5", "n/a", "90+")] == [0.6, 1.5, 61.5, None, 90.0]
    for text in ("1", "married"):
        with pytest.raises(InvalidInput, match="sex"):
            parse_sex(text)
    for text in ("131", "-3", "old"):
        with pytest.raises(InvalidInput, match="age"):
            parse_age(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("1", "0001"), ("1.0", "0001"), ("sub-01", "1"), ("SUB_01", "sub-1"), ("p 12", "P012"), ("A-01", "a1")),
        *(("P1_x", "p-001 X"), ("0", "000"), ("\uff11", "1"), ("Müller", "MU\u0308LLER")),
    ],
)
def test_codes_that_are_spelt_differently(one: str, other: str) -> None:
    assert loose_key(one) == loose_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1-12", "11-2"), ("1-12", "112"), ("1", "10"), ("A1", "B1"), ("1.5", "15"), ("sub", "1")]
)
def test_codes_that_are_different(one: str, other: str) -> None:
    assert loose_key(one) != loose_key(other)


def table_of(*codes: str, loose: bool = True) -> ParticipantTable:
    return ParticipantTable({code: ParticipantRow(code, "F", 1.0, f"line {code}") for code in codes}, loose=loose)


def test_rows_are_matched_only_where_one_row_and_one_participant_are_alike() -> None:
    table = table_of("1", "2", "02", "3", "4", "5")
    taken, matched, unmatched = table.match(["0001", "002", "0003", "3", "04", "004"], stored=["5"])
    assert taken.keys() == {"0001"}
    assert [(row.row, row.participant) for row in matched] == [("1", "0001")]
    assert {row.row: (row.likely, row.unique) for row in unmatched} == {
        "2": (("002",), False),
        "02": (("002",), False),
        "4": (("004", "04"), False),
    }
    assert table.count_without_row(["0001", "002", "0003", "3", "04", "004"], taken) == 4


def test_without_loose_the_likely_match_is_only_offered() -> None:
    taken, matched, unmatched = table_of("1", "7", loose=False).match(["0001"], stored=[])
    assert (taken, matched) == ({}, [])
    assert [(row.row, row.likely, row.unique) for row in unmatched] == [("1", ("0001",), True), ("7", (), False)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/data/0001/T1.nii.gz", "0001"),
        ("/data/0001_T1.nii.gz", "0001"),
        ("/data/Sub-1/x.nii", "Sub-1"),
        ("/data/11_T1.nii.gz", None),
        ("/data/2/0001.nii.gz", "2"),
    ],
)
def test_paths_name_participants_of_the_table_in_their_own_spelling(path: str, code: str | None) -> None:
    found = FoundFile(Path(path), path, PurePosixPath(path).relative_to("/data"))
    assert table_of("1", "2").listed_code(found) == code
    strict = table_of("1", "2", loose=False)
    assert strict.listed_code(found) == (code if code == "2" else None)
    assert strict.spellings == ({code} if code not in (None, "2") else set())
