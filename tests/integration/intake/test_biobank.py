"""A UK Biobank zip: stations by position, channels by description, repeats, swaps, the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination, Participant
from mrseg_label.catalog.types import SwapState
from mrseg_label.cli import app
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace
from tests.support import dicom_files as dcm

CHANNELS = ("in", "opp", "F", "W")
Opened = OpenedWorkspace


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def station(
    members: dict[str, bytes], number: int, top: float, time: str, *, named: bool = True, swap: bool = False
) -> None:
    """Four channels of one station: 40 x 32 x 4 voxels of 8 x 8 x 20 mm, an ellipse with fat around it."""
    x, y = np.meshgrid(np.arange(40), np.arange(32), indexing="ij")
    radius = np.hypot((x - 20) / 18, (y - 16) / 14)[..., None] * np.ones(4)
    fat, water = np.where((radius < 1) & (radius > 0.7), 900, 20), np.where(radius <= 0.7, 700, 10)
    if swap:
        fat, water = water, fat
    random = np.random.default_rng(round(number * 1000 + top))
    for offset, channel in enumerate(CHANNELS):
        image = {"in": fat + water, "opp": np.abs(water - fat), "F": fat, "W": water}[channel]
        image = (image + random.integers(0, 9, image.shape)).astype(np.int16)
        files = dcm.series(
            image,
            origin=(-160.0, -128.0, top - 60),
            spacing=(8.0, 8.0),
            step=20.0,
            uid=f"1.2.3.{number}.{offset + 1}",
            SeriesNumber=number * 4 + offset,
            SeriesDescription=f"Dixon_BH_17s_{channel}" if named else "",
            AcquisitionTime=time,
            PatientID="1234567",
            PatientName="1234567",
        )
        for k, ds in enumerate(files):
            members[f"1.3.12.{number}.{offset}.{k}.dcm"] = dcm.as_bytes(ds)


def manifest(members: dict[str, bytes]) -> bytes:
    lines = ["filename,patientid,date,series discription"]
    for name in members:
        channel = CHANNELS[int(name.split(".")[4])]
        lines.append(f"{name},1234567,May 1, 2014,Dixon_BH_17s_{channel}")
    return "\n".join(lines).encode()


def test_six_stations_of_four_channels(opened: Opened, tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    order = [3, 1, 6, 2, 5, 4]  # neither series numbers nor names of files follow the body
    for number, place in enumerate(order, start=1):
        station(members, number, 1000.0 - 60 * place, f"1000{number:02d}.0", named=number != 2)
    members["manifest.cvs"] = manifest(members)
    zipped = dcm.save_zip(tmp_path / "1234567_20201_2_0.zip", members)
    report = import_paths(opened, [zipped])
    assert not report.refused and not report.passed_over
    assert len(report.accepted) == 24
    assert {entry.participant for entry in report.accepted} == {"1234567"}
    assert Counter(entry.sequence for entry in report.accepted) == dict.fromkeys(("in", "opp", "fat", "water"), 6)
    tops: dict[str, set[int]] = {}
    for entry in report.accepted:
        tops.setdefault(entry.station, set()).add(round(float(entry.geometry.affine[2, 3])))
    assert [tops[f"station{n}"] for n in range(1, 7)] == [{1000 - 60 * place - 60} for place in range(1, 7)]
    groups = Counter((entry.station, entry.acquisition_id) for entry in report.accepted)
    assert sorted(groups.values()) == [4] * 6
    assert not any("swapped" in warning for entry in report.accepted for warning in entry.warnings)
    assert import_paths(opened, [zipped]).unchanged == 24
    with opened.catalog.read() as session:
        assert session.scalars(select(Participant.code)).all() == ["1234567"]


def test_repeated_stations_are_told_apart(opened: Opened, tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    station(members, 1, 900.0, "100001.0")
    station(members, 2, 840.0, "100101.0", swap=True)
    station(members, 3, 840.0, "100201.0")  # the same place again
    station(members, 4, 846.0, "100301.0")  # and again, a little moved
    station(members, 5, 780.0, "100401.0")
    incomplete = {name: data for name, data in members.items() if not name.startswith("1.3.12.2.2")}  # no fat in scan 2
    report = import_paths(opened, [dcm.save_zip(tmp_path / "a/1234567_20201_2_0.zip", incomplete)])
    assert not report.refused
    by_group: dict[str, list[str]] = {}
    for entry in report.accepted:
        by_group.setdefault(entry.acquisition_id, []).append(f"{entry.station} {entry.sequence}")
    assert sorted(Counter(names[0].split()[0] for names in by_group.values()).items()) == [
        ("station1", 1),
        ("station2", 3),
        ("station3", 1),
    ]
    assert sorted(len(names) for names in by_group.values()) == [3, 4, 4, 4, 4]
    repeats = [entry for entry in report.accepted if any("repeat scan" in warning for warning in entry.warnings)]
    assert {entry.station for entry in repeats} == {"station2"}
    assert len(repeats) == 8


def test_swaps_are_reported_for_the_images_of_that_scan_alone(opened: Opened, tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    station(members, 1, 900.0, "100001.0")
    station(members, 2, 840.0, "100101.0", swap=True)
    report = import_paths(opened, [dcm.save_zip(tmp_path / "1234567_20201_3_0.zip", members)])
    swapped = {
        (entry.station, entry.sequence)
        for entry in report.accepted
        if any("fat and water look swapped (whole image)" in warning for warning in entry.warnings)
    }
    assert swapped == {("station2", "fat"), ("station2", "water")}
    suspected = ["examinations", "list", "--swap", "suspected", "--json", "--workspace", str(opened.root)]
    found = json.loads(CliRunner().invoke(app, suspected).stdout)["items"]
    assert {(entry["station"], entry["sequence"]) for entry in found} == swapped
    water = next(entry["id"] for entry in found if entry["sequence"] == "water")
    decide = ["examinations", "edit", water, "--workspace", str(opened.root), "--swap"]
    decided = CliRunner().invoke(app, [*decide, "confirmed"])
    assert decided.exit_code == 0 and "the same holds for its fat image" in decided.output, decided.output
    assert json.loads(CliRunner().invoke(app, suspected).stdout)["items"] == []
    assert CliRunner().invoke(app, [*decide, "perhaps"]).exit_code != 0
    other = next(entry.id for entry in report.accepted if entry.sequence == "in")
    with pytest.raises(InvalidInput, match="only fat and water images can be exchanged"):
        edit_examinations(opened.catalog, [other], {"swap": "none"}, actor="ada")
    assert CliRunner().invoke(app, [*decide, "none"]).exit_code == 0
    with opened.catalog.read() as session:
        states = {(row.acquisition.station, row.sequence): row.swap for row in session.query(Examination)}
    assert {place for place, state in states.items() if state is SwapState.NONE} == swapped
    assert {state for place, state in states.items() if place not in swapped} == {None}


def test_a_swap_is_found_where_the_other_channel_came_before(opened: Opened, tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    station(members, 1, 900.0, "100001.0")
    station(members, 2, 840.0, "100101.0", swap=True)
    for channel, count in (("2", 2), ("3", 2)):  # fat, then water
        folder = tmp_path / channel
        folder.mkdir()
        for name, data in members.items():
            if name.split(".")[4] == channel:
                (folder / name).write_bytes(data)
        report = import_paths(opened, [folder], ImportOptions(participant="1234567"))
        assert len(report.accepted) == count
    swapped = [entry for entry in report.accepted if any("imported earlier" in warning for warning in entry.warnings)]
    assert [(entry.station, entry.sequence) for entry in swapped] == [("station2", "water")]
    with opened.catalog.read() as session:  # the fat image that came before is suspected too
        states = {(row.acquisition.station, row.sequence): row.swap for row in session.query(Examination)}
    assert {place for place, state in states.items() if state is SwapState.SUSPECTED} == {
        ("station2", "fat"),
        ("station2", "water"),
    }
