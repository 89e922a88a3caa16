"""Agreement is measured once by a job after a second reading, and suspicious annotations are found anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from mrseg_label.annotation import checks, mask_facts, readings, review
from mrseg_label.annotation.readings import compare
from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.suspicious import find_suspicious
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries.compared_masks import Mask
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Job, MaskAgreement, SuspiciousMask
from mrseg_label.catalog.types import JobState
from mrseg_label.cli import app
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.jobs import JobContext, queue
from mrseg_label.jobs.claim import claim
from mrseg_label.reports.agreement import read_agreement, read_own_agreement
from mrseg_label.reports.suspicious import read_suspicious
from mrseg_label.worklist.requests import Purpose, request_case
from tests.support.annotation_house import House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\n{database_settings}')


def drawn(lost: int) -> NDArray[np.uint8]:
    """The draft without its first slices."""
    array = draft_array()
    array[:, :, :lost] = 0
    return array


def read(house: House, reader: str, shift: int = 0) -> Submitted:
    """A reading of the case, independent of those before."""
    if house.stored():
        request_case(house.workspace, Reader(reader), Purpose.SECOND_READ, house.acquisition)
    else:
        house.take(reader)
    return house.send(drawn(shift), *house.workspace.scheme.names[:5], client=reader)


def check(house: House) -> dict[str, Any]:
    """Run a check as a worker does, before everything else that is queued; returns its result."""
    with house.catalog.begin() as session:
        queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key=new_id("an"), priority=100)
    claimed = claim(house.catalog, [queue.LIGHT])
    assert claimed is not None
    checks.run(JobContext(house.workspace, claimed, {}))
    with house.catalog.read() as session:
        return dict(session.get_one(Job, claimed.job_id).result)


def test_two_readings_are_measured_once_and_shown(house: House) -> None:
    ada, bob = read(house, "bob"), read(house, "ada", 1)
    assert read_agreement(house.workspace).not_measured == 1
    assert check(house)["measured"] == 1
    assert check(house)["measured"] == 0
    found = read_agreement(house.workspace)
    assert (found.not_measured, found.overall.cases, found.overall.same_draft) == (0, 1, 1)
    ((pair,), (case,)) = found.readers, found.cases
    assert (pair.first, pair.second, case.first_reader, case.second_reader) == ("ada", "bob", "ada", "bob")
    directly = compare(house.workspace, ada.annotation_id, bob.annotation_id)
    assert directly["liver"].dsc == pair.structures["liver"].dsc == pytest.approx(14 / 15)
    assert directly["liver"].hd95_mm == pair.structures["liver"].hd95_mm == pytest.approx(3.0)
    # What both marked absent has no values, and what one did not judge is left out.
    assert set(pair.structures) == {"spleen", "liver"} < set(directly)
    # The comparison of two annotations takes what is stored.
    with house.catalog.begin() as session:
        row = session.query(MaskAgreement).one()
        row.structures = {
            "liver": {"dsc": 0.25, "hd95_mm": 1.0, "counts": True},
            "spleen": {"dsc": 0.0, "hd95_mm": None, "counts": True},
        }
    assert compare(house.workspace, bob.annotation_id, ada.annotation_id)["liver"].dsc == 0.25
    structures = read_agreement(house.workspace).overall.structures
    assert (structures["spleen"].hd95_mm, structures["spleen"].hd95_cases, structures["spleen"].hd95_infinite) == (
        None,
        0,
        1,
    )
    assert (structures["liver"].hd95_mm, structures["liver"].hd95_infinite, structures["liver"].nsd) == (1.0, 0, None)
    own = read_own_agreement(house.workspace, "ada")
    assert (own.others, own.cases, own.mean_dsc) == (1, 1, 0.125)
    assert read_own_agreement(house.workspace, "eve").cases == 0 == read_agreement(house.workspace, "eve").overall.cases
    assert check(house)["measured"] == 1  # an earlier version measured it without NSD
    assert read_agreement(house.workspace).overall.structures["liver"].nsd == pytest.approx(
        pair.structures["liver"].nsd
    )


def test_a_reading_that_was_not_blinded_does_not_count(house: House) -> None:
    first = read(house, "ada")
    with house.catalog.begin() as session:
        audit.record(session, "eve", "downloaded", f"{first.annotation_id}.nii.gz")
    read(house, "eve", 1)
    second = read(house, "bob", 1)
    request_case(house.workspace, Reader("bob"), Purpose.CORRECT, house.acquisition)  # he starts from Ada's mask
    house.send(drawn(2), *house.workspace.scheme.names[:5], client="bob")
    assert check(house)["measured"] == 1
    found = read_agreement(house.workspace)
    assert [(case.first, case.second) for case in found.cases] == [(first.annotation_id, second.annotation_id)]
    review.withdraw(house.catalog, second.annotation_id, actor="bob", comment="wrong case")
    assert read_agreement(house.workspace).cases == []


def test_suspicious_annotations_are_found_kept_and_dropped(house: House) -> None:
    sent = read(house, "ada")
    with house.catalog.begin() as session:
        row = session.get_one(Annotation, sent.annotation_id)
        row.effort = {"accepted_unchanged": True, "edited_voxels": 0, "draft": "d", "sitting_seconds": 9.0}
        row.model_version = "bootstrap"
    assert read_suspicious(house.catalog, 10).items == []
    assert check(house)["suspicious"] == 1
    (item,) = read_suspicious(house.catalog, 10).items
    assert (item.id, item.examination, item.participant, item.author) == (
        sent.annotation_id,
        house.examination,
        "P1",
        "ada",
    )
    assert [(one.kind, one.text) for one in item.reasons] == [("unchanged", "the draft of bootstrap was accepted unchanged after 9 s")]  # fmt: skip
    with house.catalog.read() as session:
        found_at = session.query(SuspiciousMask).one().found_at
    check(house)
    with house.catalog.read() as session:
        assert session.query(SuspiciousMask).one().found_at == found_at
    folder = ["--workspace", str(house.workspace.root), "--json"]
    for arguments, count in (((), 1), (("--kind", "unchanged"), 1), (("--kind", "volume"), 0)):
        shown = CliRunner().invoke(app, ["suspicious", *arguments, *folder])
        assert len(json.loads(shown.output)["items"]) == count, shown.output
    review.withdraw(house.catalog, sent.annotation_id, actor="ada", comment="too quick")
    assert read_suspicious(house.catalog, 10).items == []
    assert check(house)["suspicious"] == 0


def test_a_check_is_left_to_a_later_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read(house, "ada")
    with house.catalog.begin() as session:
        for key in ("a", "b"):
            queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key=key, priority=60)
    first = claim(house.catalog, [queue.LIGHT])
    assert first is not None
    monkeypatch.setattr(readings, "measure", None)  # nothing is measured
    context = JobContext(house.workspace, first, {})
    checks.run(context)
    assert not context.finished, "the worker ends it, and it has no result"
    with house.catalog.read() as session:
        assert session.get_one(Job, first.job_id).state is JobState.RUNNING


def test_the_command_shows_agreement(house: House) -> None:
    folder = ["--workspace", str(house.workspace.root)]
    assert "No case has two independent readings yet" in CliRunner().invoke(app, ["agreement", *folder]).output
    read(house, "ada")
    read(house, "bob", 1)
    assert "1 more pairs" in CliRunner().invoke(app, ["agreement", *folder]).output
    check(house)
    shown = CliRunner().invoke(app, ["agreement", *folder])
    assert shown.exit_code == 0 and "ada, bob" in shown.output and "liver" in shown.output, shown.output
    document = json.loads(CliRunner().invoke(app, ["agreement", "--reader", "bob", "--json", *folder]).output)
    assert document["overall"]["cases"] == 1 and document["readers"][0]["first"] == "ada"


def test_a_structure_that_the_next_station_does_not_continue_is_listed(house: House) -> None:
    """Of two stations that touch, the lower one has the liver up to its upper edge, and the upper one has none of it."""
    masks = []
    for number, (z_mm, top) in enumerate(((0.0, 40), (160.0, 0))):
        grid = Geometry((30, 20, 40), np.array([[2.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 4.0, z_mm], [0, 0, 0, 1]]))
        array = np.zeros(grid.shape, dtype=np.uint8)
        array[5:15, 5:15, :top] = 5
        array[20, 10, number] = 1  # no two masks are the same file
        write_nifti(house.folder / "mask.nii.gz", array, grid)
        path = f"annotations/seam-{number}.nii.gz"
        digest = house.workspace.put_file(path, house.folder / "mask.nii.gz")
        masks.append(
            Mask(f"an-{number}", ("lower", "upper")[number], None, False, 0.024, None, None, False, (), {"liver": 100 * top},
                 path=path, digest=digest, geometry=grid.to_json(), case=f"aq-{number}", participant="p")
        )  # fmt: skip
    with house.catalog.begin() as session:
        queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key="a", priority=100)
    claimed = claim(house.catalog, [queue.LIGHT])
    assert claimed is not None
    measured, overlaps, finished = mask_facts.measure(JobContext(house.workspace, claimed, {}), masks)
    assert finished
    ((key, (reason,)),) = find_suspicious(measured, None, {}, overlaps).items()
    assert key[1] == "an-1" and (reason.kind, reason.structure) == (SuspicionKind.SEAM, "liver")
    assert "the mask of lower has 600 mm² of it at its upper edge" in reason.text


def test_each_file_is_measured_once_and_neighbours_are_compared(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three stations of one participant: the two that overlap are compared; work that is cut short goes on."""
    masks, scratch = [], house.folder
    for number, z_mm in enumerate((0.0, 80.0, 400.0)):
        grid = Geometry(
            (30, 20, 40), np.diag([2.0, 3.0, 4.0, 1.0]) + np.array([[0] * 4, [0] * 4, [0, 0, 0, z_mm], [0] * 4])
        )
        array = np.zeros(grid.shape, dtype=np.uint8)
        array[5:15, 5:15, 5:35] = 5
        write_nifti(scratch / "mask.nii.gz", array, grid)
        digest = house.workspace.put_file(f"annotations/{number}.nii.gz", scratch / "mask.nii.gz")
        masks.append(
            Mask(f"an-{number}", f"s{number}", None, False, 0.024, None, None, False, (), {"liver": 3000},
                 path=f"annotations/{number}.nii.gz", digest=digest, geometry=grid.to_json(), case=f"aq-{number}", participant="p")
        )  # fmt: skip
    with house.catalog.begin() as session:
        queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key="a", priority=100)
    claimed = claim(house.catalog, [queue.LIGHT])
    assert claimed is not None
    context = JobContext(house.workspace, claimed, {})
    monkeypatch.setattr(mask_facts, "MOST_FILES", 2)
    measured, overlaps, finished = mask_facts.measure(context, masks)
    assert [mask.shapes is not None for mask in measured] == [True, True, False]
    assert overlaps == [] and not finished
    measured, overlaps, finished = mask_facts.measure(context, masks)
    assert all(mask.shapes and mask.shapes["liver"]["ml"] == 72.0 for mask in measured)
    assert [{one.first[1], one.second[1]} for one in overlaps] == [{"an-0", "an-1"}] and finished is True
    assert overlaps[0].structures["liver"]["dsc"] == pytest.approx(5 / 7), "10 slices of 13 and 15 that are compared"
    with house.catalog.begin() as session:  # as an earlier version has kept it, which did not look at seams
        (kept,) = session.query(MaskAgreement).all()
        kept.structures = {name: values for name, values in kept.structures.items() if name}
    assert mask_facts.measure(context, masks)[1:] == (overlaps, True)
    (house.workspace.root / "annotations" / "0.nii.gz").unlink()
    assert mask_facts.measure(context, masks)[1:] == (overlaps, True), "nothing is read again"
