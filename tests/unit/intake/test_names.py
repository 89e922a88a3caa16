"""Names of images from their paths and from tables."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.ids import derived_id, is_id
from mrseg_label.intake.files.discover import FoundFile, discover
from mrseg_label.intake.files.matching import ParticipantTable
from mrseg_label.intake.files.naming import name_images
from mrseg_label.intake.files.participants import ParticipantRow, read_participants
from mrseg_label.intake.files.pattern import Pattern
from mrseg_label.intake.names import clean_code, strip_suffix
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.sequences import canonical_sequence, most_preferred, sequence_in_name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *(
            ("in", "in"),
            ("IN", "in"),
            ("In-Phase", "in"),
            ("opp", "opp"),
            ("out of phase", "opp"),
            ("F", "fat"),
            ("W", "water"),
        ),
        *(("T1", "t1"), ("T1w", "t1"), ("t1_fs", "t1fs"), ("T1w FS", "t1fs"), ("T2", "t2"), ("CT", "ct")),
        *(("HASTE dyn 3", "HASTE dyn 3"), (" DWI ", "DWI")),
    ],
)
def test_one_spelling_for_each_sequence(written: str, name: str) -> None:
    assert canonical_sequence(written) == name


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("P1_abdomen_in", "in"),
        ("W", "water"),
        ("sub-01_T1w", "t1"),
        ("P1 T1 fs", "t1fs"),
        ("out-of-phase", ""),
        ("scan", ""),
        ("within", ""),
    ],
)
def test_sequence_at_the_end_of_a_name(stem: str, name: str) -> None:
    assert sequence_in_name(stem) == name


def test_preferred_channel() -> None:
    assert most_preferred(["fat", "water", "opp", "in"]) == 3
    assert most_preferred(["fat", "water", "opp"], ["W", "in"]) == 1
    assert most_preferred(["b", "a"]) == 0


def test_only_a_known_suffix_is_stripped() -> None:
    assert strip_suffix("scan.v1.2.NII.GZ") == "scan.v1.2"
    assert strip_suffix("Müller, H. 3.nrrd") == "Müller, H. 3"
    assert strip_suffix("scan.v1.2") == "scan.v1.2"
    assert strip_suffix(".nii.gz") == ".nii.gz"


def found(path: str, below: str = "/data") -> FoundFile:
    return FoundFile(Path(path), path, PurePosixPath(path).relative_to(below))


def test_pattern_fits_the_path_below_the_folder() -> None:
    pattern = Pattern("{participant}/{station}_{sequence}.nii.gz")
    fields = {"participant": "P 1.ä", "station": "upper_pelvis", "sequence": "in"}
    assert pattern.match(found("/data/P 1.ä/upper_pelvis_in.nii.gz")) == fields
    assert pattern.match(found("/data/P 1.ä/upper_pelvis_in.nii.gz", "/data/P 1.ä")) == fields  # a subfolder was given
    assert pattern.match(found("/data/site/P1/pelvis_in.nii.gz")) is None  # P1 of another site is another participant
    assert pattern.match(found("/data/P1/pelvis.nii.gz")) is None
    assert pattern.match(found("/data/P1/pelvis_in.nrrd")) is None
    assert Pattern("{participant}/*_{sequence}").match(found("/data/P1/x_y_in.nrrd")) == {
        "participant": "P1",
        "sequence": "in",
    }
    # Signs that mean something in regular expressions mean themselves.
    assert Pattern("{participant}(1).nii").match(found("/data/P1(1).nii")) == {"participant": "P1"}
    assert Pattern("{participant}.nii").match(found("/data/P1xnii")) is None


def names(
    paths: list[FoundFile], options: ImportOptions | None = None, codes: tuple[str, ...] = (), loose: bool = False
) -> list[str]:
    table = ParticipantTable({code: ParticipantRow(code, None, None, "") for code in codes}, loose=loose)
    groups = name_images(paths, options or ImportOptions(), table, ImportReport())
    return [image.participant for group in groups for image in group]


def test_automatic_codes_tell_files_apart() -> None:
    assert names([found("/data/a/scan.nii.gz"), found("/data/b/scan.nii.gz")]) == ["a/scan", "b/scan"]
    given = [found("/data/a/scan.nii.gz", "/data/a"), found("/data/b/scan.nii.gz", "/data/b"), found("/x/y.nii", "/x")]
    assert names(given) == ["a/scan", "b/scan", "y"]
    twins = names([found("/data/scan.nii.gz"), found("/data/scan.nrrd")])
    assert len(set(twins)) == 2


def test_names_in_a_bids_data_set(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    files = {
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz": ("sub-01", "ses-2", "", "t1"),
        "sub-01/ses-2/anat/sub-01_ses-2_acq-fs_T1w.nii.gz": ("sub-01", "ses-2", "", "t1fs"),
        "sub-01/anat/sub-01_acq-water_chunk-3_run-1_VIBE.nii.gz": ("sub-01", "run-1", "3", "water"),
        "sub-01/anat/sub-01_echo-2_MEGRE.nii.gz": ("sub-01", "", "", "MEGRE echo-2"),
    }
    others = (
        "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz",
        "sub-01/anat/sub-01_part-phase_T2w.nii.gz",
        "sub-01/anat/T2w.nii.gz",
    )
    for name in (*files, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    report = ImportReport()
    groups = name_images(discover([tmp_path], tmp_path / "ws").images, ImportOptions(), ParticipantTable(), report)
    named = {
        image.path.relative_to(tmp_path).as_posix(): (
            image.participant,
            image.session,
            image.station,
            image.sequence,
        )
        for group in groups
        for image in group
    }
    assert named == files
    assert {Path(refusal.source).name for refusal in report.refused} == {"sub-01_part-phase_T2w.nii.gz", "T2w.nii.gz"}


def test_participant_wins_over_pattern_and_folders_over_beginnings() -> None:
    image = [found("/data/P1/P2_in.nii.gz")]
    assert names(image, ImportOptions(pattern="{participant}/*", participant="X")) == ["X"]
    assert names(image, codes=("P1", "P2")) == ["P1"]
    assert names(image, codes=("P2", "P")) == ["P2"]
    # A folder above the one that was given is no participant.
    assert names([found("/P1/data/a.nii", "/P1/data")], codes=("P1",)) == ["a"]


def test_composed_and_decomposed_names_are_the_same_participant() -> None:
    assert clean_code("Mu\u0308ller") == clean_code("M\u00fcller")
    for bad in ("", "  ", "a\x00b", "x" * 256):
        with pytest.raises(InvalidInput):
            clean_code(bad)


def test_discover_ignores_what_is_not_an_image(tmp_path: Path) -> None:
    for name in (
        "b/2.nrrd",
        "a/1.nii.gz",
        "a/.hidden.nii",
        ".git/x.nii",
        "a/1.json",
        "a/scan.mgz",
        "ws/images/ex.nii.gz",
        "ws/mrseg.toml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a/circle").symlink_to(tmp_path)
    (tmp_path / "linked.mha").symlink_to(tmp_path / "b/2.nrrd")
    findings = discover([tmp_path, tmp_path / "a/1.nii.gz", tmp_path / "gone"], tmp_path / "ws")
    assert [image.relative.as_posix() for image in findings.images] == ["linked.mha", "a/1.nii.gz", "b/2.nrrd"]
    assert [Path(refusal.source).name for refusal in findings.refused] == ["scan.mgz", "gone"]


def test_table_of_participants(tmp_path: Path) -> None:
    table = tmp_path / "participants.tsv"
    table.write_text(
        "\ufeffparticipant_id\tage\tSex\nsub-01\t34\tF\n\nsub-02\tn/a\tn/a\nsub-03\t089Y\tmale\nsub-03\t1\tM\nsub-04\told\tM\nsub-05\t3\tmarried\n"
    )
    rows, refused = read_participants(table)
    assert {code: (row.sex, row.age) for code, row in rows.items()} == {
        "sub-01": ("F", 34.0),
        "sub-02": (None, None),
        "sub-03": ("M", 89.0),
    }
    assert [(entry.source.rsplit(" ", 1)[1], entry.reason.split()[0]) for entry in refused] == [
        ("6", "participant"),
        ("7", "age"),
        ("8", "sex"),
    ]
    table.write_text("who,sex\nx,m\n")
    with pytest.raises(InvalidInput, match="participant"):
        read_participants(table)


def test_derived_ids_are_ids_of_their_parts() -> None:
    assert is_id(derived_id("ex", "P1", "0" * 64))
    assert derived_id("ex", "a", "bc") != derived_id("ex", "ab", "c")
    assert derived_id("ex", "a") == derived_id("ex", "a")


def test_pipes_and_dead_links_are_refused_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii.gz")
    os.mkfifo(tmp_path / "other")
    (tmp_path / "dead.nrrd").symlink_to(tmp_path / "nowhere")
    (tmp_path / "dead.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.nii.gz").mkdir()
    findings = discover([tmp_path], tmp_path / "ws")
    assert findings.images == []
    assert [(Path(entry.source).name, entry.reason) for entry in findings.refused] == [
        ("dead.nrrd", "a broken symbolic link"),
        ("pipe.nii.gz", "not a regular file"),
    ]
