"""Published cohorts as they lie on the disk: AMOS22, CHAOS, the German National Cohort; and which of their labels are ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import UID, generate_uid
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant
from mrseg_label.catalog.types import StructureState
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from tests.support import dicom_files as dcm
from tests.support.intake_files import boxes, picture, save, stored, work

AMOS = {
    **{
        "0": "background",
        "1": "spleen",
        "2": "right kidney",
        "3": "left kidney",
        "4": "gall bladder",
        "5": "esophagus",
    },
    **{"6": "liver", "7": "stomach", "8": "arota", "9": "postcava", "10": "pancreas", "11": "right adrenal gland"},
    **{"12": "left adrenal gland", "13": "duodenum", "14": "bladder", "15": "prostate/uterus"},
}
OURS = (
    *(
        "spleen",
        "right_kidney",
        "left_kidney",
        "gallbladder",
        "esophagus",
        "liver",
        "stomach",
        "aorta",
        "inferior_vena_cava",
    ),
    *("pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum"),
)


def judged(opened: OpenedWorkspace) -> dict[str, dict[str, StructureState]]:
    """What each participant's annotations judge, with the states."""
    with opened.catalog.read() as session:
        rows = session.execute(
            select(Participant.code, Annotation)
            .join(Acquisition, Acquisition.participant_id == Participant.id)
            .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        ).unique()
        return {code: {one.structure: one.state for one in row.structures if one.state.judged} for code, row in rows}


def people(opened: OpenedWorkspace) -> dict[str, tuple[str | None, float | None]]:
    with opened.catalog.read() as session:
        return {row.code: (row.sex, row.age) for row in session.scalars(select(Participant))}


def amos22(data: Path) -> Path:
    for number, (case, part) in enumerate((("0001", "Tr"), ("0507", "Tr"), ("0008", "Va"), ("0599", "Ts"))):
        save(data / f"images{part}/amos_{case}.nii.gz", picture(number))
        save(data / f"labels{part}/amos_{case}.nii.gz", boxes(6, 9, 14, 15))
    (data / "dataset.json").write_text(json.dumps({"name": "AMOS", "modality": {"0": "CT"}, "labels": AMOS}))
    columns = "amos_id,Patient's Birth Date,Patient's Sex,Patient's Age,Manufacturer's Model Name"
    (data / "labeled_data_meta_0000_0599.csv").write_text(
        f"{columns}\n1,19600101,M,058Y,A\n507,,F,041Y,B\n8,,nan,nan,A\n"
    )
    return data


def test_13_of_the_15_labels_of_amos22(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = amos22(tmp_path / "amos22")
    for_evaluation = import_paths(opened, [data], ImportOptions(evaluation_only=True, dry_run=True))
    assert (for_evaluation.masks, for_evaluation.refused) == (4, [])  # nothing is trained on, so the test set comes too
    report = import_paths(opened, [data])
    assert report.refused == [] and report.masks == 3
    assert sorted((entry.participant, entry.sequence) for entry in report.accepted) == [
        *(("amos_0001", "ct"), ("amos_0008", "ct"), ("amos_0507", ""), ("amos_0599", "")),
    ]
    said = " ".join(entry.reason for entry in report.passed_over)
    assert "AMOS22 bladder, AMOS22 prostate/uterus" in said and "outside the training set" in said
    assert people(opened) == {
        **{"amos_0001": ("M", 58.0), "amos_0507": ("F", 41.0), "amos_0008": (None, None), "amos_0599": (None, None)}
    }
    work(opened)
    found = judged(opened)
    assert set(found) == {"amos_0001", "amos_0507", "amos_0008"}
    assert all(set(structures) == set(OURS) for structures in found.values())
    assert found["amos_0001"]["liver"] is StructureState.DRAWN and found["amos_0001"]["spleen"] is StructureState.ABSENT
    expected = boxes(opened.scheme["liver"].id, opened.scheme["inferior_vena_cava"].id)
    assert all(np.array_equal(mask, expected) for mask in stored(opened).values())


VALUES = {"MR": (63, 126, 189, 252), "CT": (255,)}


def chaos(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Three series of two patients; returns the label map of each folder in (X, Y, Z) of its DICOM files, values 1 to 4."""
    truth = {}
    for number, (folder, phases) in enumerate(
        (("MR/1/T1DUAL", ("InPhase", "OutPhase")), ("MR/1/T2SPIR", ("",)), ("CT/5", ("",)))
    ):
        values = VALUES[folder[:2]]
        shape = (9, 7, 6)
        labels = np.random.default_rng(number).integers(0, len(values) + 1, shape).astype(np.uint8)
        truth[folder] = labels
        step = -3.0 if folder.startswith("CT") else 4.0
        for phase_number, phase in enumerate(phases):
            files = dcm.series(
                dcm.noise(10 * number + phase_number, shape),
                step=step,
                origin=(-30.0, -20.0, 100.0 + number),
                PatientID="",
                PatientName="anon",
                EchoTime=2.3 * (2 - phase_number),
            )
            for place, ds in enumerate(files):  # as the anonymised files are: nothing says what belongs together
                ds.SeriesInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
                ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(
                    dcm.CT if folder.startswith("CT") else dcm.MR
                )
                ds.Modality = folder[:2]
                stem = (
                    f"i{place:04d},0000b" if folder.startswith("CT") else f"IMG-0004-{2 * place + 2 - phase_number:05d}"
                )
                path = root / folder / "DICOM_anon" / phase / f"{stem}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dcm.as_bytes(ds))
                if phase_number == 0:
                    ground = f"liver_GT_{place:03d}" if folder.startswith("CT") else stem
                    table = np.array((0, *values), np.uint8)
                    target = root / folder / "Ground" / f"{ground}.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(table[labels[:, :, place].T]).save(target)
    return truth


def test_the_slices_of_chaos(opened: OpenedWorkspace, tmp_path: Path) -> None:
    truth = chaos(tmp_path / "Train_Sets")
    report = import_paths(opened, [tmp_path / "Train_Sets"])
    assert (report.refused, report.masks) == ([], 3)
    assert sorted((entry.participant, entry.sequence) for entry in report.accepted) == [
        *(("chaos_ct_5", "ct"), ("chaos_mr_1", "in"), ("chaos_mr_1", "opp"), ("chaos_mr_1", "t2"))
    ]
    with opened.catalog.read() as session:
        assert len(session.scalars(select(Acquisition)).all()) == 3  # both phases share one annotation
        sequences = {row.id: row.sequence for row in session.scalars(select(Examination))}
    work(opened)
    found = judged(opened)
    assert set(found["chaos_ct_5"]) == {"liver"}
    assert set(found["chaos_mr_1"]) == {"liver", "right_kidney", "left_kidney", "spleen"}
    names = ("liver", "right_kidney", "left_kidney", "spleen")
    folders = {"in": "MR/1/T1DUAL", "t2": "MR/1/T2SPIR", "ct": "CT/5"}
    for examination, mask in stored(opened).items():
        labels = truth[folders[sequences[examination]]]
        table = np.array([0, *(opened.scheme[name].id for name in names)])
        # The axes of the stored image may run the other way; no label map here equals its own mirror images.
        mirrored = [labels[::i, ::j, ::k] for i in (1, -1) for j in (1, -1) for k in (1, -1)]
        assert sum(np.array_equal(mask, table[one]) for one in mirrored) == 1
    _agree_with_the_image(opened, truth["CT/5"])


def _agree_with_the_image(opened: OpenedWorkspace, labels: NDArray[np.uint8]) -> None:
    """The mask lies on the voxels of the image that it was drawn on: noise of the same seed tells each voxel apart."""
    with opened.catalog.read() as session:
        row = session.scalars(select(Examination).where(Examination.sequence == "ct")).one()
    voxels: NDArray[Any] = np.asarray(nib.load(opened.path(row.path)).dataobj)
    mask = stored(opened)[row.id]
    image = dcm.noise(20, (9, 7, 6))
    inside = set(image[labels > 0].tolist())
    assert set(np.rint(voxels[mask > 0]).astype(int).tolist()) == inside


def test_ground_truth_that_cannot_be_right_is_refused(opened: OpenedWorkspace, tmp_path: Path) -> None:
    chaos(tmp_path / "d")
    first = tmp_path / "d/MR/1/T2SPIR/Ground/IMG-0004-00002.png"
    faults = ((np.full((7, 9), 30), "value 30"), (np.zeros((9, 7)), "9 x 7"), (None, "5 PNG files for 6"))
    for fault, reason in faults:
        if fault is None:
            first.unlink()
        else:
            Image.fromarray(fault.astype(np.uint8)).save(first)
        report = import_paths(opened, [tmp_path / "d/MR"], ImportOptions(dry_run=True))
        assert (len(report.accepted), report.masks, len(report.refused)) == (3, 1, 1)
        assert reason in report.refused[0].reason


def test_the_german_national_cohort(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "NAKO-707_MRT"
    for number, (channel, word) in enumerate((("W", "W"), ("opp", "opp"))):
        files = dcm.series(
            dcm.noise(number), uid=f"1.2.3.{number}", SeriesDescription=f"3D_GRE_TRA_{word}", SeriesNumber=number
        )
        members = {f"1/{place}.dcm": dcm.as_bytes(ds) for place, ds in enumerate(files)}
        (data / f"3D_GRE_TRA_{channel}").mkdir(parents=True)
        dcm.save_zip(data / f"3D_GRE_TRA_{channel}/100012_30_3D_GRE_TRA_{channel}.zip", members)
    save(data / "3D_GRE_TRA_in_COMPOSED/100023_30/3D_GRE_TRA_in_COMPOSED.nii.gz", picture(3))
    save(data / "T2_HASTE_TRA_COMPOSED/100023_30/scan.nii.gz", picture(4))
    table = tmp_path / "sociodemographics.csv"
    table.write_text("ID;basis_sex;basis_age\n100012;2;45\n100023;1;61\n")
    report = import_paths(opened, [data], ImportOptions(csv=table, evaluation_only=True))
    assert report.refused == []
    assert sorted((entry.participant, entry.sequence) for entry in report.accepted) == [
        *(("100012", "opp"), ("100012", "water"), ("100023", "in"), ("100023", "t2"))
    ]
    assert people(opened) == {"100012": ("F", 45.0), "100023": ("M", 61.0)}
    with opened.catalog.read() as session:
        cases = {row.participant.code for row in session.scalars(select(Acquisition)) if len(row.examinations) == 2}
    assert "100012" in cases  # the channels of both zips
