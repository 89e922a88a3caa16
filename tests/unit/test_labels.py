"""The label scheme is data: the default, another, and files that break a rule."""

from pathlib import Path

import pytest

from mrseg_label.errors import LabelError
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.segments.names import NameTable

HEAD = "id\tname\tregion\tpaired_with\tother_ids\n"


def test_default_has_the_papers_forty_structures() -> None:
    scheme = LabelScheme.default()
    assert len(scheme) == 40
    assert scheme.names[:3] == ("spleen", "right_kidney", "left_kidney")
    assert scheme["left_lung"].id == 10
    assert list(scheme.label_names.values()) == list(range(1, 41))


def test_totalsegmentator_classes_merge_by_id() -> None:
    scheme = LabelScheme.default()
    table = scheme.lookup_from(TOTALSEGMENTATOR_TOTAL)
    assert set(table[27:51]) == {scheme["spine"].id}
    assert set(table[[25, 26]]) == {scheme["sacrum"].id}
    assert set(table[[10, 11]]) == {scheme["left_lung"].id}
    assert set(table[[12, 13, 14]]) == {scheme["right_lung"].id}
    assert table[90] == 0  # brain


def test_colors_differ() -> None:
    colors = [structure.color for structure in LabelScheme.default()]
    assert len(set(colors)) == len(colors)


def test_another_scheme_of_two(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text(HEAD + "1\tleft_eye\thead\tright_eye\t7,8\n2\tright_eye\thead\tleft_eye\t9\n")
    scheme = LabelScheme.read(path)
    assert scheme.names == ("left_eye", "right_eye")
    assert scheme.ids_in("other") == {"left_eye": (7, 8), "right_eye": (9,)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2\tliver\t\t\t\n", "1 to N"),
        ("1\tliver\t\t\t\n1\tspleen\t\t\t\n", "1 to N"),
        ("1\tliver\t\t\t\n2\tLiver\t\t\t\n", "twice"),
        ("1\tbackground\t\t\t\n", "reserved"),
        ("1\tIgnore\t\t\t\n", "reserved"),
        ("one\tliver\t\t\t\n", "whole number"),
        ("1\t\t\t\t\n", "name '' must have 1 to 200 characters"),
        ("1\tli\x07ver\t\t\t\n", "control character"),
        (
            "1\tLeft Kidney\t\t\t\n2\tleft-kidney \t\t\t\n3\tLeft  kidney\t\t\t\n",
            "'Left Kidney' .id 1. and 'Left kidney' .id 3.",
        ),
        ("1\tBackground\t\t\t\n", "'Background' is reserved"),
        ("1\tliver\t\tspleen\t\n", "paired"),
        ("1\tliver\t\t\tx\n", "whole numbers"),
        ("1\tliver\t\t\t3\n2\tspleen\t\t\t3\n", "stands for both"),
        ("", "structures"),
    ],
)
def test_broken_schemes_are_refused_with_the_reason(rows: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelScheme.parse(HEAD + rows)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match=r"x\.tsv"):
        LabelScheme.read(path)
    with pytest.raises(LabelError, match="id and name"):
        LabelScheme.parse("number,structure\n1,liver\n")


def test_a_scheme_leaves_a_value_for_what_is_not_known() -> None:
    rows = "".join(f"{number}\tstructure_{number}\n" for number in range(1, 256))
    head, last = rows.rsplit("255\t", 1)[0], rows
    assert len(LabelScheme.parse("id\tname\n" + head)) == 254
    with pytest.raises(LabelError, match="1 to 254"):
        LabelScheme.parse("id\tname\n" + last)


def test_names_may_be_written_as_people_write_them() -> None:
    rows = ["Left Kidney", "Right Kidney", "Niere, transplantiert (links)", "Wirbelsäule", "肝臓", "Large intestine / colon", "Vertebra T12+", "Liver"]  # fmt: skip
    pairs = {1: "Right Kidney", 2: "left_kidney"}
    text = "".join(f"{number}\t{name}\t\t{pairs.get(number, '')}\t\n" for number, name in enumerate(rows, start=1))
    scheme = LabelScheme.parse(HEAD + text)
    assert scheme.names == (
        "left_kidney", "right_kidney", "niere_transplantiert_links", "wirbelsaule", "structure_5",
        "large_intestine_colon", "vertebra_t12", "Liver",
    )  # fmt: skip
    assert list(scheme.shown_names) == rows
    assert list(scheme.shown_names.values()) == list(scheme.label_names.values())
    assert scheme["left_kidney"].paired_with == "right_kidney" and scheme["right_kidney"].paired_with == "left_kidney"
    table = NameTable(scheme)
    for name, key in zip(rows, scheme.names, strict=True):
        assert {table.match(form) for form in (name, key, name.upper(), f" {name} ", key.replace("_", " "))} == {key}
    assert table.match("Kidney (left)") == "left_kidney"
    assert LabelScheme.default().shown_names == LabelScheme.default().label_names


def test_the_labels_of_an_nnunet_data_set_are_a_scheme(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{"labels": {"background": 0, "Left Kidney": 2, "liver": 1, "ignore": 3}, "channel_names": {}}')
    scheme = LabelScheme.read(path)
    assert scheme.shown_names == {"liver": 1, "Left Kidney": 2}
    assert LabelScheme.parse(scheme.text) == scheme
    path.write_text('{"labels": {"0": "background", "1": "liver"}}')
    assert LabelScheme.read(path).names == ("liver",)
    for text in ('{"labels": {"liver": [1, 2]}}', "[]", "{"):
        path.write_text(text)
        with pytest.raises(LabelError, match=r"dataset\.json"):
            LabelScheme.read(path)
