"""The label scheme is data: the default, another, and files that break a rule."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
import skimage.color
from numpy.typing import NDArray

from mrseg_label.colors import differences
from mrseg_label.errors import LabelError
from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.segments.names import NameTable
from mrseg_label.snomed_ct import SnomedConcept

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


# What lies beside what in the trunk, the left and the right one of each pair meant.
NEIGHBOURS = """
spleen: left_kidney stomach pancreas left_adrenal_gland left_lung colon portal_vein_and_splenic_vein
liver: right_kidney gallbladder stomach pancreas right_adrenal_gland left_lung right_lung heart aorta inferior_vena_cava
liver: portal_vein_and_splenic_vein esophagus small_bowel duodenum colon spine right_autochthonous_muscle
stomach: left_kidney pancreas left_adrenal_gland left_lung heart aorta esophagus small_bowel duodenum colon
heart: left_lung right_lung aorta inferior_vena_cava esophagus
pancreas: duodenum small_bowel colon aorta inferior_vena_cava portal_vein_and_splenic_vein
gallbladder: duodenum colon stomach
aorta: inferior_vena_cava spine left_iliac_artery right_iliac_artery esophagus left_iliopsoas_muscle
inferior_vena_cava: right_iliac_vena left_iliac_vena right_iliac_artery spine duodenum right_iliopsoas_muscle
left_kidney: left_adrenal_gland left_iliopsoas_muscle left_autochthonous_muscle colon
right_kidney: right_adrenal_gland right_iliopsoas_muscle right_autochthonous_muscle colon duodenum
small_bowel: duodenum colon urinary_bladder left_iliopsoas_muscle right_iliopsoas_muscle
left_iliac_artery: left_iliac_vena left_iliopsoas_muscle
right_iliac_artery: right_iliac_vena right_iliopsoas_muscle
spine: sacrum left_autochthonous_muscle right_autochthonous_muscle left_iliopsoas_muscle right_iliopsoas_muscle
sacrum: left_hip right_hip left_gluteus_maximus right_gluteus_maximus
left_hip: left_femur left_iliopsoas_muscle left_gluteus_maximus left_gluteus_medius left_gluteus_minimus urinary_bladder
right_hip: right_femur right_iliopsoas_muscle right_gluteus_maximus right_gluteus_medius right_gluteus_minimus
left_gluteus_medius: left_gluteus_minimus left_gluteus_maximus
right_gluteus_medius: right_gluteus_minimus right_gluteus_maximus
left_femur: left_iliopsoas_muscle left_gluteus_minimus
right_femur: right_iliopsoas_muscle right_gluteus_minimus
"""


def apart(scheme: LabelScheme) -> NDArray[np.float64]:
    """Difference of every two colours; infinite between a colour and itself."""
    colors = np.array([structure.color for structure in scheme], np.uint8)
    found = differences(colors, colors)
    np.fill_diagonal(found, np.inf)
    return found


def test_colors_of_neighbours_are_told_apart() -> None:
    scheme = LabelScheme.default()
    found = apart(scheme)
    assert found.min() >= 10
    for line in NEIGHBOURS.strip().splitlines():
        name, _, others = line.partition(": ")
        for other in others.split():
            assert found[scheme[name].id - 1, scheme[other].id - 1] >= 18, (name, other)


def test_the_difference_of_colors_is_that_of_the_standard() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (60, 3)).astype(np.uint8)
    lab = skimage.color.rgb2lab(colors[None])[0]
    standard = skimage.color.deltaE_ciede2000(lab[:, None], lab[None])
    found = differences(colors, colors)
    assert (found <= standard + 0.01).all()  # never more: without red or green cones less may be seen
    greys = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[:, None], 3, axis=1)  # look the same to everybody
    lab = skimage.color.rgb2lab(greys[None])[0]
    np.testing.assert_allclose(
        differences(greys, greys), skimage.color.deltaE_ciede2000(lab[:, None], lab[None]), atol=0.05
    )
    red, green = np.array([[200, 60, 40]], np.uint8), np.array([[120, 110, 40]], np.uint8)
    lab = [skimage.color.rgb2lab(color[None])[0] for color in (red, green)]
    assert differences(red, green)[0, 0] < 0.8 * skimage.color.deltaE_ciede2000(*lab)[0]


def test_colors_of_a_pair_are_related() -> None:
    scheme = LabelScheme.default()
    for structure in scheme:
        if structure.paired_with:
            hues = [colorsys.rgb_to_hsv(*one.color)[0] for one in (structure, scheme[structure.paired_with])]
            assert min((hues[0] - hues[1]) % 1, (hues[1] - hues[0]) % 1) < 0.2, structure.name


@pytest.mark.parametrize(("count", "least"), [(2, 60), (10, 25), (40, 10), (117, 6), (254, 3.5)])
def test_structures_without_colors_get_ones_that_differ(count: int, least: float) -> None:
    scheme = LabelScheme.parse("id\tname\n" + "".join(f"{k}\ts{k}\n" for k in range(1, count + 1)))
    assert apart(scheme).min() >= least
    assert scheme.structures == LabelScheme.parse(scheme.text).structures  # the same with every start


def test_given_colors_stay_and_the_others_keep_away_from_them() -> None:
    scheme = LabelScheme.parse("id\tname\tcolor\n1\ta\t\n2\tb\t#ff0000\n3\tc\t\n4\td\t#808080\n")
    assert scheme["b"].color == (255, 0, 0) and scheme["d"].color == (128, 128, 128)
    assert apart(scheme).min() >= 25


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


def test_the_tolerance_of_surfaces_is_a_column_with_a_default() -> None:
    scheme = LabelScheme.parse("id\tname\tnsd_tolerance_mm\n1\tliver\t\n2\tpancreas\t5\n3\taorta\t1.25\n4\tspleen\t0\n")
    assert scheme.nsd_tolerances_mm == (3.0, 5.0, 1.25, 0.0)
    assert scheme.digest == LabelScheme.parse("id\tname\n1\tliver\n2\tpancreas\n3\taorta\n4\tspleen\n").digest
    for wrong in ("-1", "3 mm", "nan", "inf", "1e9"):
        with pytest.raises(LabelError, match="line 2: nsd_tolerance_mm must be a number of millimetres"):
            LabelScheme.parse(f"id\tname\tnsd_tolerance_mm\n1\tliver\t{wrong}\n")


def test_codes_of_snomed_ct_are_read_and_checked() -> None:
    head = "id\tname\tsnomed_ct\tsnomed_ct_meaning\tlaterality\n"
    scheme = LabelScheme.parse(
        f"{head}1\tleft kidney\t64033007\tKidney\tLeft\n2\tright kidney\t64033007\t\tright\n3\tfat\t\t\t\n"
    )
    left, right, fat = (structure.snomed_ct for structure in scheme)
    assert left == SnomedConcept("64033007", laterality="left") and left.meaning == "Kidney"
    assert right is not None and right.meaning == "right kidney" and fat is None
    for row, message in (
        ("1\tliver\tT-62000\t\t\n", "line 2: snomed_ct must be a code of SNOMED CT"),
        ("1\tliver\t10200004\t\tboth\n", "line 2: laterality must be left, right or empty"),
        ("1\tliver\t10200004\t\t\n2\thepar\t10200004\t\t\n", "liver and hepar have the same snomed_ct 10200004"),
    ):
        with pytest.raises(LabelError, match=message):
            LabelScheme.parse(head + row)


def test_every_structure_of_the_default_scheme_has_a_code_and_pairs_share_theirs() -> None:
    scheme = LabelScheme.default()
    for structure in scheme:
        assert structure.snomed_ct is not None and structure.snomed_ct.meaning
        other = scheme[structure.paired_with].snomed_ct if structure.paired_with else None
        assert structure.snomed_ct.laterality == (structure.name.split("_")[0] if other else "")
        assert other is None or other.code == structure.snomed_ct.code
