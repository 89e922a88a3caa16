"""What the phantom's scanner sees: contrast as physics has it, and files as a hospital exports them."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.figures.planes import EDGES, Plane
from mrseg_label.simulation.phantom import DIXON, SEQUENCES, Painted, Participant, ct_grid, paint, render, render_all
from mrseg_label.simulation.phantom.cohort import Planned, comparison_plan, demo_plan, write_cohort
from mrseg_label.simulation.phantom.montage import draw_montage, plane
from mrseg_label.simulation.phantom.tissue import Tissue

SEED = 12


@pytest.fixture(scope="module")
def painted() -> Painted:
    participant = Participant.draw(SEED, 0)
    return paint(participant, "abdomen", ct_grid(participant, "abdomen", 5.0))


@pytest.fixture(scope="module")
def images(painted: Painted) -> dict[str, NDArray[np.int16]]:
    return render_all(painted, SEQUENCES)


def mean(image: NDArray[np.int16], painted: Painted, tissue: Tissue) -> float:
    return float(np.median(image[painted.tissue == tissue]))


def test_images_are_whole_numbers_on_the_grid(images: dict[str, NDArray[np.int16]], painted: Painted) -> None:
    for sequence, image in images.items():
        assert image.dtype == np.int16 and image.shape == painted.tissue.shape
        if sequence != "ct":
            assert image.min() >= 0
            assert image.max() > 300, "an image between 0 and 1 would be lost in whole numbers"


def test_fat_and_water_as_in_mr(images: dict[str, NDArray[np.int16]], painted: Painted) -> None:
    fat, muscle, liver = Tissue.SUBCUTANEOUS_FAT, Tissue.LABELLED_MUSCLE, Tissue.LIVER
    for sequence in ("in", "t1", "fat"):
        assert mean(images[sequence], painted, fat) > 1.3 * mean(images[sequence], painted, liver)
    for sequence in ("water", "t1fs"):
        assert mean(images[sequence], painted, fat) < 0.7 * mean(images[sequence], painted, muscle)
    assert mean(images["t2"], painted, Tissue.CSF) > 1.2 * mean(images["t2"], painted, muscle)
    assert mean(images["t1"], painted, Tissue.CSF) < mean(images["t1"], painted, muscle)
    for sequence in ("in", "opp", "water", "t1", "t2"):
        assert mean(images[sequence], painted, Tissue.CORTICAL_BONE) < mean(images[sequence], painted, liver)


def test_dixon_channels_fit_together(images: dict[str, NDArray[np.int16]], painted: Painted) -> None:
    body = np.isin(painted.tissue, [Tissue.SUBCUTANEOUS_FAT, Tissue.LIVER, Tissue.VISCERAL_FAT, Tissue.SPLEEN])
    water, fat = images["water"][body].astype(float), images["fat"][body].astype(float)
    scale = np.median(images["in"][body])
    assert np.abs(np.median(water + fat - images["in"][body])) < 0.05 * scale
    assert np.median(np.abs(np.abs(water - fat) - images["opp"][body])) < 0.08 * scale


def test_ct_is_in_hounsfield_units(images: dict[str, NDArray[np.int16]], painted: Painted) -> None:
    ct = images["ct"]
    assert mean(ct, painted, Tissue.AIR) == pytest.approx(-1000, abs=40)
    assert mean(ct, painted, Tissue.SUBCUTANEOUS_FAT) == pytest.approx(-105, abs=20)
    assert mean(ct, painted, Tissue.LUNG) < -700
    assert 30 < mean(ct, painted, Tissue.LABELLED_MUSCLE) < 90
    assert mean(ct, painted, Tissue.CORTICAL_BONE) > 250


def test_contrast_medium_brightens_vessels() -> None:
    people = [Participant.draw(SEED, index) for index in range(20)]
    values = {}
    for wanted in (True, False):
        participant = next(p for p in people if p.contrast_medium is wanted)
        one = paint(participant, "abdomen", ct_grid(participant, "abdomen", 6.0))
        values[wanted] = mean(render(one, "ct"), one, Tissue.ARTERIAL_BLOOD)
    assert values[True] > values[False] + 50


def test_noise_and_bias_differ_between_seeds_and_repeat_with_one(painted: Painted) -> None:
    np.testing.assert_array_equal(render(painted, "in", 1), render(painted, "in", 1))
    assert np.any(render(painted, "in", 1) != render(painted, "in", 2))


def test_an_unknown_sequence_is_refused(painted: Painted) -> None:
    with pytest.raises(InvalidInput, match="flair"):
        render(painted, "flair")


def test_a_cohort_on_disk(tmp_path: Path) -> None:
    plan = [Planned(0, "pelvis", ("in", "water")), Planned(4, "abdomen", ("in",))]
    seen: list[tuple[int, int]] = []
    written = write_cohort(
        tmp_path / "images",
        SEED,
        plan,
        truth=tmp_path / "hidden",
        processes=1,
        progress=lambda n, of, _name: seen.append((n, of)),
    )
    assert seen == [(1, 2), (2, 2)]
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    assert files == [
        "hidden/P001/pelvis.nii.gz", "hidden/P005/abdomen.nii.gz", "images/P001/pelvis_in.nii.gz",
        "images/P001/pelvis_water.nii.gz", "images/P005/abdomen_in.nii.gz", "images/participants.csv",
    ]  # fmt: skip
    with (tmp_path / "images/participants.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["participant"] for row in rows] == ["P001", "P005"]
    assert rows[0]["sex"] == written[0].participant.sex and int(rows[0]["age"]) == written[0].participant.age
    image, truth = nib.load(written[0].images["water"]), nib.load(written[0].truth)
    assert image.get_data_dtype() == np.int16 and truth.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, truth.affine)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)
    assert int(image.header["qform_code"]) == int(image.header["sform_code"]) == 1
    again = write_cohort(tmp_path / "again", SEED, plan[1:], processes=1)
    assert again[0].images["in"].read_bytes() == written[1].images["in"].read_bytes()


def test_plans_hold_what_the_demo_needs() -> None:
    plan = demo_plan()
    assert len(plan) == 24 and len({p.index for p in plan}) == 12
    assert all(p.sequences == DIXON for p in plan)
    extra = comparison_plan()
    assert not {p.index for p in extra} & {p.index for p in plan}
    assert {"in", "water", "t1", "t1fs"} <= set(extra[0].sequences)


def test_a_plane_is_drawn_as_a_radiologist_looks_at_it(tmp_path: Path) -> None:
    volume = np.zeros((4, 5, 6), np.int16)
    volume[3, 4, 5] = 1  # right, front, top
    for axis, index in ((2, 5), (1, 4)):
        assert plane(volume, axis, index)[0, 0] == 1
    structures = np.full((4, 5, 6), LabelScheme.default()["liver"].id, np.uint8)
    draw_montage({"ct": volume}, structures, [(2, 5)], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0


@pytest.mark.parametrize(("axis", "edges"), [(2, "RLAP"), (1, "RLSI"), (0, "APSI")])
def test_every_plane_of_the_montage_has_its_letters(tmp_path: Path, axis: int, edges: str) -> None:
    dark = np.zeros((60, 60, 60), np.int16)
    draw_montage({"in": dark}, dark.astype(np.uint8), [(axis, 30)], tmp_path / "picture.png")
    pixels = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int)[16:76]
    bright = pixels.sum(axis=-1) > 300
    for tile in (bright[:, :60], bright[:, 66:126]):
        middle = slice(22, 38)
        for part in (tile[middle, :12], tile[middle, -12:], tile[:14, middle], tile[-14:, middle]):
            assert 3 < part.sum() < 100
        assert not tile[20:40, 20:40].any()
    assert "".join(EDGES[Plane(axis)]) == edges
