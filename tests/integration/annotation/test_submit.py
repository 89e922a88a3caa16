"""Submissions become annotations: what is acknowledged is on disk, and no mask is replaced that should stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrseg_label.annotation import effort, missing_effort, review
from mrseg_label.annotation.record import Submitted
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries.effort import Dimension
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Assignment,
    Examination,
    Job,
    ModelVersion,
    Presegmentation,
    WorkSign,
)
from mrseg_label.catalog.types import (
    AnnotationState,
    AssignmentOutcome,
    JobState,
    ModelStatus,
    Sign,
    StructureState,
)
from mrseg_label.clock import now
from mrseg_label.errors import GeometryError, LabelError
from mrseg_label.files import sha256_of
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.reports.effort import read_effort_by
from mrseg_label.reports.masks import read_final
from mrseg_label.worklist.service import assign_next_case, note_presegmentation_sent
from mrseg_label.worklist.signs import note_work
from tests.support.annotation_house import GRID, House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "off"\nROUND_SIZE = 2\n')


def annotation(house: House, annotation_id: str) -> Annotation:
    with house.catalog.read() as session:
        found = rows.get(session, annotation_id)
    assert found is not None
    return found


def run_effort(house: House) -> None:
    held = claim(house.catalog, [queue.LIGHT])
    assert held is not None and held.kind == queue.MEASURE_EFFORT
    context = JobContext(house.workspace, held, {})
    effort.run(context)
    with context.publish():
        pass


def test_submission_is_stored_by_name_on_the_image_grid_with_the_upload_beside(house: House) -> None:
    house.take()
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[0], array[4:6] = 2, 1  # liver first on the screen, then spleen
    sent = house.send(array, "liver", "spleen", "gallbladder")
    row = annotation(house, sent.annotation_id)
    stored = nib.load(house.workspace.path(row.path))
    expected = np.zeros(GRID.shape)
    expected[0], expected[4:6] = 1, 5
    assert np.array_equal(np.asanyarray(stored.dataobj), expected)
    assert stored.get_data_dtype() == np.uint8
    assert np.array_equal(stored.affine, nib.load(house.workspace.path("images/in.nii.gz")).affine)
    assert row.path == f"annotations/{house.acquisition}/0001-{row.id}.nii.gz"
    house.workspace.verify(row.path, row.digest)
    house.workspace.verify(row.upload_path, row.upload_digest)
    assert row.upload_digest == sha256_of(next(house.folder.iterdir()))
    assert (row.author, row.client, row.model_version, row.number) == ("user-xyz", "user-xyz", "bootstrap", 1)
    states = {item.structure: item.state for item in row.structures}
    assert states["spleen"] is StructureState.CORRECTED
    assert states["liver"] is StructureState.UNCHANGED
    assert states["gallbladder"] is StructureState.ABSENT
    assert states["heart"] is StructureState.NOT_ANNOTATED
    assert len(states) == len(house.workspace.scheme)


def test_submission_ends_the_assignment_counts_the_case_and_starts_a_job(house: House) -> None:
    house.take()
    sent = house.send(draft_array(), *house.workspace.scheme.names[:5])
    assert sent.seconds is not None and 0 <= sent.seconds < 60
    with house.catalog.read() as session:
        assignment = session.query(Assignment).one()
        assert assignment.outcome is AssignmentOutcome.SUBMITTED and assignment.ended_at is not None
        assert session.get_one(Acquisition, house.acquisition).annotated_at is not None
    run_effort(house)
    measured = annotation(house, sent.annotation_id).effort
    assert measured is not None and measured["accepted_unchanged"] and measured["edited_voxels"] == 0


def test_final_mask_serves_every_channel(house: House) -> None:
    with house.catalog.read() as session:
        examination = session.get_one(Examination, house.other_channel)
    assert read_final(house.catalog, examination.acquisition_id, Reader("user-xyz")) is None
    sent = house.send(draft_array(), *house.workspace.scheme.names[:5])
    row = read_final(house.catalog, examination.acquisition_id, Reader("user-xyz"))
    assert row is not None and row.id == sent.annotation_id
    assert house.workspace.path(row.path).is_file()


def test_effort_is_measured_over_judged_structures_against_the_presegmentation(house: House) -> None:
    array = draft_array()
    array[array == 1] = 0  # the spleen's segment was removed: no edit
    array[4, 0, 0] = 0  # one voxel taken from the liver
    sent = house.send((array == 5).astype(np.uint8), "liver")
    run_effort(house)
    row = annotation(house, sent.annotation_id)
    assert row.effort is not None
    assert row.effort["edited_voxels"] == 1 and row.effort["model_version"] == "bootstrap"
    by_name = {item.structure: item for item in row.structures}
    n = 2 * 7 * 8
    assert by_name["liver"].dsc == pytest.approx(2 * (n - 1) / (2 * n - 1))
    assert by_name["spleen"].dsc is None and by_name["spleen"].edited_voxels is None


def test_repeated_submission_is_recorded_once_and_a_changed_mask_is_a_new_annotation(house: House) -> None:
    first = house.send(draft_array(), *house.workspace.scheme.names[:5])
    before = house.stored()
    again = house.send(draft_array(), *house.workspace.scheme.names[:5])
    assert again.repeated and again.annotation_id == first.annotation_id and house.stored() == before
    fewer = house.send(draft_array(), "spleen", "right_kidney", "x1", "x2", "liver")
    assert not fewer.repeated and fewer.number == 2
    other = house.send(draft_array(), *house.workspace.scheme.names[:5], user="bob", client="b")
    assert other.number == 3


def test_refused_upload_changes_nothing(house: House) -> None:
    before = house.stored()
    with pytest.raises(LabelError):
        house.send(draft_array(), "liver")
    with pytest.raises(GeometryError):
        house.send(draft_array()[:-1], *house.workspace.scheme.names[:5])
    with house.catalog.read() as session:
        assert session.query(Annotation).count() == 0
    assert house.stored() == before and not list((house.workspace.root / "tmp").iterdir())


def test_late_submission_is_a_further_reading_where_another_has_the_final_mask(house: House) -> None:
    house.take(user="ada", client="a")
    with house.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    house.take(user="bob", client="b")
    names = house.workspace.scheme.names[:5]
    late = house.send(draft_array(), *names, user="ada", client="a")
    assert late.is_final and late.seconds is not None  # there was none yet
    holder = house.send(np.flip(draft_array(), 0), *names, user="bob", client="b")
    assert holder.is_final
    again = house.send(np.zeros_like(draft_array()), *names, user="ada", client="a")
    assert not again.is_final
    with house.catalog.read() as session:
        final = rows.final(session, house.acquisition)
        assert final is not None and final.id == holder.annotation_id
        assert [r.number for r in rows.page_of_acquisition(session, house.acquisition, 9)] == [3, 2, 1]


def test_required_review_does_not_count_a_submission_yet(tmp_path: Path) -> None:
    for house in make_house(tmp_path, 'AUTH = "off"\nREVIEW = "required"\n'):
        sent = house.send(draft_array(), *house.workspace.scheme.names[:5])
        assert sent.state is AnnotationState.SUBMITTED
        with house.catalog.read() as session:
            assert session.get_one(Acquisition, house.acquisition).annotated_at is None
            assert rows.final(session, house.acquisition) is None
        # Nothing is left for its author; another reader is assigned it for review.
        assert assign_next_case(house.workspace, Reader("user-xyz"), "random") is None
        case = assign_next_case(house.workspace, Reader("c"), "random")
        assert case is not None and case.annotation_id == sent.annotation_id


def test_simultaneous_submissions_all_get_numbers_of_their_own(house: House) -> None:
    results: list[Submitted] = []
    names = house.workspace.scheme.names[:5]

    def one(index: int) -> None:
        array = draft_array()
        array[3, 0, index] = 1
        results.append(house.send(array, *names, client=f"client-{index}"))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.number for result in results) == list(range(1, 9))
    with house.catalog.read() as session:
        referenced = {path for row in session.query(Annotation) for path in (row.path, row.upload_path)}
    assert referenced == house.stored()


def test_time_at_work_is_told_from_requests_and_has_no_pauses(house: House) -> None:
    ada, minute = Reader("ada"), timedelta(minutes=1)
    house.take("ada")
    note_work(house.catalog, ada, house.acquisition, Sign.IMAGE)  # at once after it was opened: not noted again
    first = house.send(draft_array(), *house.workspace.scheme.names[:5], client="ada")
    with house.catalog.begin() as session:
        (sign,) = session.query(WorkSign)
        assert (sign.sign, sign.reader, sign.acquisition_id) == (Sign.OPENED, "ada", house.acquisition)
        row = rows.get(session, first.annotation_id)
        assert row is not None
        began = row.created_at - 400 * minute
        session.query(Assignment).one().created_at = sign.at = began
        for minutes, reader in ((10, "ada"), (380, "ada"), (385, "eve")):
            moment = began + minutes * minute
            session.add(WorkSign(reader=reader, acquisition_id=house.acquisition, sign=Sign.MASK, at=moment))
    run_effort(house)
    measured = annotation(house, first.annotation_id).effort
    assert measured is not None and measured["sitting_seconds"] == pytest.approx(60 * (10 + 20))


@pytest.fixture
def reviewed_house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "off"\nREVIEW = "required"\n')


def test_a_night_is_no_work_and_work_that_is_continued_is_counted_as_one(reviewed_house: House) -> None:
    house = reviewed_house
    names = house.workspace.scheme.names[:5]
    house.take("ada")
    night = house.send(draft_array(), *names, client="ada")
    review.reject(house.catalog, night.annotation_id, reviewer="bob", comment="redraw the spleen")
    house.take("ada")
    changed = np.roll(draft_array(), 1, axis=2)
    changed[3, 0, 0] = 1
    second = house.send(changed, *names, client="ada")
    with house.catalog.begin() as session:
        one, two = rows.get(session, night.annotation_id), rows.get(session, second.annotation_id)
        assert one is not None and two is not None and two.report["began_from"] == one.id
        session.get_one(Assignment, one.assignment_id).created_at = one.created_at - timedelta(hours=20)
        later = session.get_one(Assignment, two.assignment_id).created_at
        session.query(WorkSign).filter(WorkSign.at < later).delete()
        session.add(
            WorkSign(
                reader="ada",
                acquisition_id=house.acquisition,
                sign=Sign.IMAGE,
                at=one.created_at - timedelta(hours=19, minutes=30),
            )
        )
        two.created_at = later + timedelta(seconds=120)
    for _ in range(2):
        run_effort(house)
    found = [annotation(house, sent.annotation_id).effort for sent in (night, second)]
    assert found[0] is not None and found[0]["sitting_seconds"] is None
    assert found[1] is not None and found[1]["sitting_seconds"] == pytest.approx(30 * 60 + 120, abs=30)


@pytest.mark.parametrize(("client", "seconds"), [("user-xyz", 500.0), ("ada", 200.0)])
def test_the_work_of_others_under_slicers_own_name_is_not_taken_for_ones_own(
    house: House, client: str, seconds: float
) -> None:
    house.take(client)
    sent = house.send(draft_array(), *house.workspace.scheme.names[:5], client=client)
    with house.catalog.begin() as session:
        row = rows.get(session, sent.annotation_id)
        primary = session.get_one(Examination, house.examination)
        assert row is not None
        person = primary.acquisition.participant_id
        other = Acquisition(participant_id=person, key="P1/pelvis", station="pelvis", sequence="in", shuffle=0.5)
        session.add(other)
        session.flush()
        opened = row.created_at - timedelta(seconds=500)
        session.query(Assignment).one().created_at = session.query(WorkSign).one().at = opened
        # Of this one reader, or of another one who did not tell Slicer a name of their own.
        moment = opened + timedelta(seconds=200)
        session.add(WorkSign(reader=client, acquisition_id=other.id, sign=Sign.VIEWED, at=moment))
    run_effort(house)
    measured = annotation(house, sent.annotation_id).effort
    assert measured is not None and measured["sitting_seconds"] == pytest.approx(seconds)


def test_edits_and_surfaces_are_measured_of_each_structure_and_missing_ones_by_a_job(house: House) -> None:
    house.take()
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[0:2], array[4:6] = 1, 2
    array[1, 0, 0] = array[0, 6, 7] = 0  # two edits of the spleen; the rest of both is as in the draft
    array[3, 3, 3] = 3
    sent = house.send(array, "spleen", "liver", "gallbladder", "stomach")
    run_effort(house)
    row = annotation(house, sent.annotation_id)
    whole = row.effort
    assert whole is not None and (whole["edits"], whole["edited_voxels"]) == (3, 3)
    of = {item.structure: item for item in row.structures}
    names = ("spleen", "liver", "gallbladder", "stomach", "heart")
    assert [of[name].edits for name in names] == [2, 0, 1, 0, None]
    assert [of[name].surface_changed for name in names] == [0, 0, 1, None, None]  # a voxel is less than the tolerance
    assert 0 < whole["surface_changed"] < 0.01
    with house.catalog.begin() as session:  # as an earlier version left it
        old = rows.get(session, sent.annotation_id)
        assert old is not None
        old.effort = {key: value for key, value in whole.items() if key not in ("edits", "surface_changed")}
        for item in old.structures:
            item.edits = item.surface_changed = None
        session.query(Job).filter_by(state=JobState.QUEUED).delete()
        queue.enqueue(session, queue.MEASURE_MISSING_EFFORT, {}, key="old")
    assert read_effort_by(house.workspace, [Dimension.READER]).not_measured == 1
    held = claim(house.catalog, [queue.LIGHT])
    assert held is not None and held.kind == queue.MEASURE_MISSING_EFFORT
    missing_effort.run(JobContext(house.workspace, held, {}))
    again = annotation(house, sent.annotation_id)
    assert again.effort == whole
    assert {item.structure: item.edits for item in again.structures} == {name: one.edits for name, one in of.items()}
    assert read_effort_by(house.workspace, [Dimension.READER]).not_measured == 0


def test_manual_drawing_and_the_report_of_decoding_are_stored(house: House) -> None:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[3] = 1
    sent = house.send(array, "Heart", "spleen", "lesion")
    row = annotation(house, sent.annotation_id)
    states = {item.structure: (item.state, item.voxels) for item in row.structures}
    assert states["heart"] == (StructureState.DRAWN, 7 * 8)
    assert states["spleen"] == (StructureState.ABSENT, 0)
    # The pre-segmentation had a liver, and the reader removed the segment.
    assert states["liver"] == (StructureState.FILLED, 0)
    assert row.report == {"renamed": {"Heart": "heart"}, "ignored": ["lesion"]}


def test_annotation_is_compared_with_the_presegmentation_that_was_sent_and_not_a_newer_one(house: House) -> None:
    house.take()
    with house.catalog.begin() as session:
        sent_presegmentation = session.query(Presegmentation).one().id
    note_presegmentation_sent(house.catalog, Reader("user-xyz"), house.acquisition, sent_presegmentation)
    with house.catalog.begin() as session:
        session.add(ModelVersion(version="v1", status=ModelStatus.RETIRED))
        session.flush()
        session.add(
            Presegmentation(
                acquisition_id=house.acquisition,
                examination_id=house.examination,
                model_version="v1",
                source="nnunet",
                path="presegmentations/newer.nii.gz",
                digest="0" * 64,
            )
        )
    sent = house.send(draft_array(), *house.workspace.scheme.names[:5])
    row = annotation(house, sent.annotation_id)
    assert (row.presegmentation_id, row.model_version) == (sent_presegmentation, "bootstrap")


def test_a_doubt_about_sides_or_directions_is_told_and_stored_and_refuses_nothing(house: House) -> None:
    house.take()
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[:, 0], array[:, 6] = 2, 1
    sent = house.send(array, "aorta", "spine")
    text = "aorta lies 15 mm behind spine, but the aorta runs in front of the vertebral column"
    assert sent.doubts == [text]
    assert sent.state is AnnotationState.ACCEPTED
    row = annotation(house, sent.annotation_id)
    assert row.report["doubts"] == [{"axis": "front/back", "structure": "aorta", "other": "spine", "text": text}]
    assert house.send(array, "aorta", "spine").doubts == [text], "the same again"
    right = house.send(array[:, ::-1], "aorta", "spine")
    assert right.doubts == []
    assert "doubts" not in annotation(house, right.annotation_id).report
    restored = review.restore(house.workspace, sent.annotation_id, actor="ada")
    assert restored.doubts == [text]
