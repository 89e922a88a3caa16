"""Effort by group, and the learning curve with intervals, recomputed here from the values of each case."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries.effort import Dimension, EffortFilter
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Evaluation,
    Examination,
    ModelVersion,
)
from mrseg_label.catalog.types import AnnotationState, CaseRole, ModelStatus, StructureState
from mrseg_label.cli import app
from mrseg_label.cli.effort import By
from mrseg_label.errors import InvalidInput
from mrseg_label.metrics.bootstrap import mean_of
from mrseg_label.reports.documents.learning_curve import CurveDimension, Origin
from mrseg_label.reports.effort import read_effort_by
from mrseg_label.reports.learning_curve import read_curve
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant, add_round

VERSIONS = ("bootstrap", "r1", "r2", "r3", "r4")
HELD_OUT, PEOPLE = 6, 5  # participants, of the latter in each round


@pytest.fixture
def workspace(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\nROUND_SIZE = 10\n{database_settings}')
    opened = open_workspace(tmp_path / "ws")
    with opened.catalog.begin() as session:
        _fill(session)
    yield opened
    opened.close()


def _fill(session: Session) -> None:
    draw = random.Random(3)
    models.ensure_bootstrap(session)
    held_out: list[Annotation] = []
    training: list[Annotation] = []
    for number in range(HELD_OUT):
        person = add_participant(session, f"H{number}", held_out=True)
        for station in ("abdomen", "pelvis"):
            held_out.append(
                _annotate(session, draw, add_acquisition(session, person, station=station), "bootstrap", 40)
            )
    held_out[0].model_version = held_out[0].presegmentation_id = None  # drawn by hand
    held_out[0].effort = None
    _evaluate(session, draw, "bootstrap", held_out, 0.4)
    for number, version in enumerate(VERSIONS):
        if number:
            add_round(session, number, [(one, CaseRole.TRAINING) for one in training])
            session.add(
                ModelVersion(version=version, round_number=number, status=ModelStatus.RETIRED, parent="bootstrap")
            )
            session.flush()
            _evaluate(session, draw, version, held_out, 0.9 - 0.9 / (number + 1))
        for k in range(PEOPLE):
            person = add_participant(session, f"P{number}{k}", held_out=False)
            for station in ("abdomen", "pelvis"):
                case = add_acquisition(session, person, station=station)
                training.append(_annotate(session, draw, case, version, 100 // (number + 1)))


def _annotate(session: Session, draw: random.Random, case: object, version: str, edited: int) -> Annotation:
    edited += draw.randrange(10)
    row = add_annotation(
        session, case, model_version=version, edited=edited, seconds=float(draw.randrange(60, 600)),  # type: ignore[arg-type]
        structures={"liver": draw.random(), "spleen": 1.0},
    )  # fmt: skip
    row.author = draw.choice(("ada", "bert"))
    assert row.effort is not None
    row.effort = {**row.effort, "edits": edited // 10, "surface_changed": edited / 1000}
    liver, spleen = sorted(row.structures, key=lambda item: item.structure)
    liver.edits, liver.surface_changed = edited // 10, edited / 500
    spleen.state, spleen.edited_voxels, spleen.edits, spleen.surface_changed = StructureState.UNCHANGED, 0, 0, 0.0
    for name, state in (
        ("stomach", StructureState.ABSENT),  # never at either station
        ("pancreas", StructureState.NOT_ANNOTATED),
    ):
        measured = 0 if state.judged else None
        row.structures.append(AnnotationStructure(structure=name, state=state, voxels=0, edited_voxels=measured))
    session.flush()
    return row


def _evaluate(session: Session, draw: random.Random, version: str, held_out: list[Annotation], level: float) -> None:
    for one in held_out:
        dsc = {"liver": min(1.0, level + draw.uniform(-0.05, 0.05)), "spleen": level, "stomach": None}
        infinite = version == "bootstrap" and one is held_out[1]
        session.add(
            Evaluation(
                model_version=version, annotation_id=one.id, examination_id=one.examination_id, mean_dsc=level, dsc=dsc,
                surfaces={"hd95_mm": {"liver": None if infinite else 20 * (1 - level), "spleen": 4.0},
                          "nsd": {"liver": level, "spleen": 0.5}},
            )
        )  # fmt: skip
    session.flush()


def test_effort_by_reader_and_round(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.read() as session:
        rows = [row for row in session.query(Annotation) if row.effort]
        people = {row.id: _participant(session, row) for row in rows}
    found = read_effort_by(workspace, [Dimension.READER, Dimension.ROUND])
    assert [(one.group[Dimension.READER], one.group[Dimension.ROUND]) for one in found.groups] == [
        (reader, number) for reader in ("ada", "bert") for number in range(5)
    ]
    for one in found.groups:
        version = VERSIONS[int(one.group[Dimension.ROUND] or 0)]
        of = [row for row in rows if (row.author, row.model_version) == (one.group[Dimension.READER], version)]
        assert one.cases == len(of) and one.participants == len({people[row.id] for row in of})
        for figure, key in ((one.edited_ml, "edited_ml"), (one.edits, "edits"), (one.surface_changed, "surface_changed"),
                            (one.seconds, "sitting_seconds"), (one.edited_voxels, "edited_voxels")):  # fmt: skip
            expected = mean_of((people[row.id], (row.effort or {})[key]) for row in of)
            assert figure.mean == pytest.approx(expected.mean) and figure.cases == len(of)
            if expected.low is not None:
                assert (figure.low, figure.high) == pytest.approx((expected.low, expected.high))
        assert one.outcomes.untouched == one.outcomes.corrected == len(of)
        assert one.outcomes.outside_field_of_view == one.outcomes.not_judged == len(of)


def test_a_correction_counts_once_however_many_images_it_is_propagated_to(workspace: OpenedWorkspace) -> None:
    whole = read_effort_by(workspace, []).groups[0]
    with workspace.catalog.begin() as session:
        rows = [row for row in session.query(Annotation) if row.effort]
        seconds = sum(float((row.effort or {})["sitting_seconds"]) for row in rows)
        kept = [row for row in rows if row.model_version == "r2"]
    assert whole.cases == whole.seconds.cases == len(rows)
    assert (whole.seconds.mean or 0) * whole.cases == pytest.approx(seconds)  # and not four times as much
    assert whole.propagated_images == 3 * len(rows)
    liver = read_effort_by(workspace, [Dimension.STRUCTURE], EffortFilter(structure="liver")).groups[0]
    assert (liver.cases, liver.propagated_images) == (len(rows), 3 * len(rows))
    assert read_effort_by(workspace, [Dimension.SEQUENCE]).groups[0].group == {Dimension.SEQUENCE: "in"}
    with workspace.catalog.begin() as session:
        for row in kept:  # propagation is off
            case = session.get_one(Acquisition, row.acquisition_id)
            case.propagates = False
            settle(session, case)
        rejected = session.query(Annotation).filter_by(model_version="r3").all()
        for row in rejected:
            row.state = AnnotationState.REJECTED
            settle(session, session.get_one(Acquisition, row.acquisition_id))
    found = {
        one.group[Dimension.MODEL_VERSION]: one for one in read_effort_by(workspace, [Dimension.MODEL_VERSION]).groups
    }
    assert "r3" not in found
    assert (found["r1"].propagated_images, found["r2"].propagated_images) == (30, 0)
    assert found["r2"].cases == len(kept)
    shown = CliRunner().invoke(app, ["effort", "--by", "model_version", "--workspace", str(workspace.root)])
    assert "30 images" in shown.output and "counts once however many images" in " ".join(shown.output.split())


def test_held_out_figures_say_how_many_images_carry_a_propagated_mask(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for row in session.query(Evaluation).filter_by(model_version="r2").all():
            annotation = session.get_one(Annotation, row.annotation_id)
            for channel in session.query(Examination).filter_by(acquisition_id=annotation.acquisition_id):
                if channel.id != row.examination_id:
                    session.add(
                        Evaluation(
                            model_version="r2", annotation_id=row.annotation_id, examination_id=channel.id,
                            mean_dsc=row.mean_dsc, dsc=row.dsc, surfaces=row.surfaces,
                        )
                    )  # fmt: skip
    points = {one.model_version: one.groups[0].held_out for one in read_curve(workspace).rounds}
    assert (points["r2"].dsc.cases, points["r2"].images, points["r2"].propagated_images) == (12, 48, 36)
    assert (points["r1"].dsc.cases, points["r1"].images, points["r1"].propagated_images) == (12, 12, 0)
    by_sequence = {one.group: one.held_out for one in read_curve(workspace, CurveDimension.SEQUENCE).rounds[2].groups}
    assert {name: (one.images, one.propagated_images) for name, one in by_sequence.items()} == {
        "in": (12, 0), "fat": (12, 12), "opp": (12, 12), "water": (12, 12)
    }  # fmt: skip


def _participant(session: Session, row: Annotation) -> str:
    from mrseg_label.catalog.queries import acquisitions

    case = acquisitions.get(session, row.acquisition_id)
    assert case is not None
    return case.participant_id


def test_effort_of_a_structure_and_of_what_is_wanted(workspace: OpenedWorkspace) -> None:
    whole = read_effort_by(workspace, [Dimension.STRUCTURE], EffortFilter(model_version="r1"))
    assert [one.group[Dimension.STRUCTURE] for one in whole.groups] == ["spleen", "liver"]  # in the order of the scheme
    spleen, liver = whole.groups
    assert (spleen.cases, spleen.unchanged_cases, spleen.edited_ml.mean) == (10, 10, 0)
    assert liver.unchanged_cases == 0 and liver.seconds.mean is None
    cases = read_effort_by(workspace, [], EffortFilter(model_version="r1")).groups[0]
    assert liver.edited_ml.mean == pytest.approx(cases.edited_ml.mean)
    assert liver.surface_changed.mean == pytest.approx(2 * (cases.surface_changed.mean or 0))
    by_station = read_effort_by(workspace, [Dimension.STATION], EffortFilter(structure="liver", round=1))
    assert {one.group[Dimension.STATION]: one.cases for one in by_station.groups} == {"abdomen": 5, "pelvis": 5}
    assert read_effort_by(workspace, [Dimension.SEQUENCE], EffortFilter(sequence="water")).groups == []
    for by, wanted in (
        ([Dimension.READER] * 2, EffortFilter()),
        (list(Dimension)[:4], EffortFilter()),
        ([], EffortFilter(structure="tail")),
    ):
        with pytest.raises(InvalidInput):
            read_effort_by(workspace, by, wanted)


def test_what_is_in_neither_mask_is_told_apart(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for row in session.query(Annotation):
            pancreas = next(item for item in row.structures if item.structure == "pancreas")
            if row.model_version == "r4":  # these readers left it out, and all others have it
                continue
            pancreas.state, pancreas.voxels, pancreas.edited_voxels = StructureState.DRAWN, 50, 50
    found = read_effort_by(workspace, [Dimension.MODEL_VERSION], EffortFilter(structure="pancreas"))
    assert [(one.group[Dimension.MODEL_VERSION], one.outcomes.drawn) for one in found.groups] == [
        ("bootstrap", 21), ("r1", 10), ("r2", 10), ("r3", 10)
    ]  # fmt: skip
    whole = {
        one.group[Dimension.MODEL_VERSION]: one.outcomes
        for one in read_effort_by(workspace, [Dimension.MODEL_VERSION]).groups
    }
    assert (whole["r4"].forgotten, whole["r4"].not_judged, whole["r4"].outside_field_of_view) == (10, 0, 10)
    with workspace.catalog.begin() as session:
        removed = session.query(Annotation).filter_by(model_version="r3").first()
        assert removed is not None
        pancreas = next(item for item in removed.structures if item.structure == "pancreas")
        pancreas.state, pancreas.voxels = StructureState.ABSENT, 0
        stomach = next(item for item in removed.structures if item.structure == "stomach")
        stomach.state, stomach.voxels, stomach.edited_voxels = StructureState.DRAWN, 9, 9
    whole = {
        one.group[Dimension.MODEL_VERSION]: one.outcomes
        for one in read_effort_by(workspace, [Dimension.MODEL_VERSION]).groups
    }
    assert (whole["r3"].removed, whole["r3"].drawn, whole["r3"].absent) == (
        1,
        10,
        4,
    )  # the stomach is at that station now
    assert whole["r3"].outside_field_of_view == 5


def test_the_curve_has_intervals_origins_and_what_comes_next(workspace: OpenedWorkspace) -> None:
    found = read_curve(workspace)
    assert [(one.round, one.model_version, one.training_cases) for one in found.rounds] == [
        (k, version, 10 * k) for k, version in enumerate(VERSIONS)
    ]
    with workspace.catalog.read() as session:
        rows = session.query(Evaluation).filter_by(model_version="r2").all()
        people = {
            row.annotation_id: _participant(session, session.get_one(Annotation, row.annotation_id)) for row in rows
        }
    (r2,) = found.rounds[2].groups
    expected = mean_of((people[row.annotation_id], fmean([row.dsc["liver"], row.dsc["spleen"]])) for row in rows)
    for held_out in (r2.held_out, r2.held_out_common):
        assert (held_out.dsc.mean, held_out.dsc.low, held_out.dsc.high) == pytest.approx(
            (expected.mean, expected.low, expected.high)
        )
        assert (held_out.dsc.cases, held_out.dsc.participants) == (12, 6)
        assert held_out.nsd.mean == pytest.approx((0.6 + 0.5) / 2)
        assert held_out.hd95_mm.mean == pytest.approx((8 + 4) / 2) and held_out.infinite_hd95 == 0
        assert {origin: mean.cases for origin, mean in held_out.origins.items()} == {
            Origin.OTHER: 11,
            Origin.NOTHING: 1,
        }
    (bootstrap,) = found.rounds[0].groups
    assert {origin: mean.cases for origin, mean in bootstrap.held_out.origins.items()} == {
        Origin.OWN: 11,
        Origin.NOTHING: 1,
    }
    assert bootstrap.held_out.infinite_hd95 == 1
    assert bootstrap.held_out.hd95_mm.mean == pytest.approx(
        (11 * (12 + 4) / 2 + 4) / 12
    )  # the infinite one is in no mean
    assert (bootstrap.drafts.cases, r2.drafts.cases) == (10 + 11, 10)
    (estimate,) = found.estimates
    assert estimate.held_out_dsc is not None and estimate.edited_ml is not None and estimate.note == ""
    assert estimate.held_out_dsc.training_cases == 48
    newest = found.rounds[-1].groups[0].held_out_common.dsc.mean
    assert newest is not None
    assert estimate.held_out_dsc.low <= estimate.held_out_dsc.value <= estimate.held_out_dsc.high
    assert estimate.held_out_dsc.value == pytest.approx(newest + estimate.held_out_dsc.gain)
    assert 0 < estimate.held_out_dsc.gain < 0.1
    assert estimate.edited_ml.gain < 0


def test_the_curve_by_structure_region_station_and_sequence(workspace: OpenedWorkspace) -> None:
    by_structure = read_curve(workspace, CurveDimension.STRUCTURE)
    names = [one.group for one in by_structure.rounds[1].groups]
    assert names == ["spleen", "liver"]
    spleen = by_structure.rounds[1].groups[0]
    assert [spleen.held_out.dsc.mean, spleen.held_out.hd95_mm.mean] == pytest.approx([0.45, 4.0])
    assert spleen.drafts.unchanged_cases == 10
    by_region = read_curve(workspace, CurveDimension.REGION)
    region = next(one for one in by_region.rounds[1].groups if one.group == "gastrointestinal")  # both are there
    whole = read_curve(workspace).rounds[1].groups[0]
    assert region.held_out == whole.held_out
    assert region.drafts.edited_ml.mean == pytest.approx(whole.drafts.edited_ml.mean)
    by_station = read_curve(workspace, CurveDimension.STATION)
    assert [one.group for one in by_station.rounds[0].groups] == ["abdomen", "pelvis"]
    assert [one.held_out.dsc.cases for one in by_station.rounds[0].groups] == [6, 6]
    assert [one.group for one in read_curve(workspace, CurveDimension.SEQUENCE).rounds[0].groups] == ["in"]


def test_versions_are_compared_on_the_cases_that_all_have(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for row in session.query(Evaluation).filter_by(model_version="r1").limit(8):
            session.delete(row)
        session.query(Evaluation).filter_by(model_version="r2").update({"surfaces": None})
    found = read_curve(workspace)
    assert found.common_cases == 4
    assert [one.groups[0].held_out.dsc.cases for one in found.rounds] == [12, 4, 12, 12, 12]
    assert {one.groups[0].held_out_common.dsc.cases for one in found.rounds} == {4}
    r2 = found.rounds[2].groups[0].held_out
    assert (r2.hd95_mm.mean, r2.nsd.mean, r2.nsd.cases, r2.infinite_hd95) == (None, None, 0, 0)  # not measured


def test_the_command_line_shows_both(workspace: OpenedWorkspace) -> None:
    assert [one.value for one in By] == [one.value for one in Dimension]
    runner = CliRunner()
    folder = ["--workspace", str(workspace.root)]
    shown = runner.invoke(app, ["effort", "--by", "reader", "--by", "station", *folder])
    assert shown.exit_code == 0 and "ada" in shown.output and "pelvis" in shown.output
    document = json.loads(runner.invoke(app, ["effort", "--by", "reader", "--json", *folder]).output)
    assert document == read_effort_by(workspace, [Dimension.READER]).model_dump(mode="json")
    assert runner.invoke(app, ["effort", "--structure", "tail", *folder]).exit_code == 1
    curve = runner.invoke(app, ["learning-curve", "--by", "structure", *folder])
    assert curve.exit_code == 0 and "another model's draft: 11, nothing: 1" in curve.output
    assert "Another round (liver), with 48 training cases: held-out DSC 0." in curve.output
    with workspace.catalog.begin() as session:
        session.query(Evaluation).filter(Evaluation.model_version.in_(["r3", "r4"])).delete()
    curve = runner.invoke(app, ["learning-curve", *folder])
    assert "too few rounds for DSC: 2 of at least 4" in curve.output


def test_nothing_is_measured_yet(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "new", settings_text='AUTH = "off"\n')
    opened = open_workspace(tmp_path / "new")
    try:
        assert read_effort_by(opened, [Dimension.READER]).groups == []
        found = read_curve(opened)
        assert (found.rounds, found.common_cases, found.estimates[0].held_out_dsc) == ([], 0, None)
    finally:
        opened.close()
    folder = ["--workspace", str(tmp_path / "new")]
    assert "No draft was corrected yet" in CliRunner().invoke(app, ["effort", *folder]).output
    assert "No model was measured yet" in CliRunner().invoke(app, ["learning-curve", *folder]).output
