"""Model versions: their files, promotion and roll-back, archives."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries.held_out import StructureScore
from mrseg_label.catalog.tables import AuditEvent
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.errors import Conflict, InvalidInput, NotFound, StoredFileError
from mrseg_label.jobs import queue
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.registry import archive, importing, service, trials
from mrseg_label.registry.compare import compare
from mrseg_label.registry.label_names import read_label_map
from mrseg_label.registry.layout import files_of, read_model, tree_digest
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_evaluation, add_participant
from tests.support.model_files import TRAINED, make_model


@pytest.fixture
def workspace(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=database_settings)
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


def add_version(workspace: OpenedWorkspace, version: str, weights: bytes = b"weights") -> None:
    stored = service.store_files(workspace, version, make_model(workspace.root / "tmp" / version, weights))
    with workspace.catalog.begin() as session:
        service.register(session, version, stored, actor="test")


def statuses(workspace: OpenedWorkspace) -> dict[str, str]:
    with workspace.catalog.read() as session:
        return {row.version: str(row.status) for row in models.list_all(session)}


def test_bootstrap_is_current_and_has_no_archive(workspace: OpenedWorkspace) -> None:
    assert statuses(workspace) == {"bootstrap": "current"}
    with pytest.raises(NotFound, match="cannot be exported"):
        service.archive(workspace, "bootstrap")
    with pytest.raises(Conflict, match="nothing to roll back"):
        service.rollback(workspace)


def test_files_move_into_place_and_are_registered(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "round-1")
    with workspace.catalog.read() as session:
        row = service.get(session, "round-1")
    assert row.status is ModelStatus.CANDIDATE
    assert row.path == f"models/round-1/{TRAINED}"
    assert (workspace.path(row.path) / "fold_0" / "checkpoint_final.pth").read_bytes() == b"weights"
    assert row.weights_digest == tree_digest(workspace.models / "round-1")
    assert not (workspace.root / "tmp" / "round-1").exists()
    with pytest.raises(Conflict, match="other files are registered"):
        add_version(workspace, "round-1", b"other")
    assert (workspace.path(row.path) / "fold_0" / "checkpoint_final.pth").read_bytes() == b"weights"


def test_files_that_a_dead_attempt_left_make_way(workspace: OpenedWorkspace) -> None:
    service.store_files(workspace, "round-1", make_model(workspace.root / "tmp" / "first", b"half trained"))
    add_version(workspace, "round-1", b"trained")
    with workspace.catalog.read() as session:
        row = service.get(session, "round-1")
    service.check_files(workspace, row)
    assert (workspace.models / "round-1" / TRAINED / "fold_0" / "checkpoint_final.pth").read_bytes() == b"trained"


@pytest.mark.parametrize("version", ["../up", "", "a/b", "bootstrap", "x" * 65, ".hidden"])
def test_version_names_that_cannot_be_a_folder(workspace: OpenedWorkspace, version: str) -> None:
    with pytest.raises(InvalidInput, match="model version"):
        service.store_files(workspace, version, make_model(workspace.root / "tmp" / "m"))


def test_promote_retires_the_old_orders_drafts_and_is_written_down(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "round-1", b"one")
    service.promote(workspace, "round-1", actor="anna")
    assert statuses(workspace) == {"round-1": "current", "bootstrap": "retired"}
    with workspace.catalog.read() as session:
        assert job_rows.active(session, queue.RENEW_PRESEGMENTATIONS, queue.RENEW_PRESEGMENTATIONS) is not None
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "model.promote")).one()
    assert (event.actor, event.subject, event.detail) == ("anna", "round-1", {"before": "bootstrap"})
    with pytest.raises(Conflict, match="already the current one"):
        service.promote(workspace, "round-1")
    with pytest.raises(NotFound):
        service.promote(workspace, "round-9")


def test_a_failed_version_is_not_promoted(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "round-1")
    with workspace.catalog.begin() as session:
        service.get(session, "round-1").status = ModelStatus.FAILED
    with pytest.raises(Conflict, match="failed"):
        service.promote(workspace, "round-1")
    assert statuses(workspace)["bootstrap"] == "current"


def test_roll_back_goes_one_further_each_time(workspace: OpenedWorkspace) -> None:
    for number in (1, 2):
        add_version(workspace, f"round-{number}", str(number).encode())
        service.promote(workspace, f"round-{number}")
    assert service.rollback(workspace).version == "round-1"
    assert service.rollback(workspace).version == "bootstrap"
    with pytest.raises(Conflict):
        service.rollback(workspace)
    service.promote(workspace, "round-2")
    # Now the bootstrap was not promoted before round 2 in vain: it is what was there before.
    assert service.rollback(workspace).version == "round-1"
    assert statuses(workspace) == {"round-2": "retired", "round-1": "current", "bootstrap": "retired"}


def test_archive_is_the_folder_and_the_same_bytes_every_time(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "round-1")
    first = service.archive(workspace, "round-1")
    content = first.read_bytes()
    with zipfile.ZipFile(first) as opened_zip:
        assert sorted(opened_zip.namelist()) == [
            f"{TRAINED}/dataset.json",
            f"{TRAINED}/fold_0/checkpoint_final.pth",
            f"{TRAINED}/plans.json",
        ]
        assert opened_zip.testzip() is None
    first.unlink()
    later = time.time() + 5000
    for file in (workspace.models / "round-1").rglob("*"):
        os.utime(file, (later, later))
    assert service.archive(workspace, "round-1").read_bytes() == content


def test_archive_refuses_files_that_were_changed(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "round-1")
    (workspace.models / "round-1" / TRAINED / "fold_0" / "checkpoint_final.pth").write_bytes(b"weightz")
    with pytest.raises(StoredFileError, match="instead of"):
        service.archive(workspace, "round-1")


def test_export_and_import_into_another_workspace(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    add_version(workspace, "round-1")
    file = service.export(workspace, "round-1", tmp_path / "model.zip")
    with pytest.raises(Conflict, match="exists already"):
        service.export(workspace, "round-1", file)
    with pytest.raises(Conflict, match="round-1"):
        importing.import_zip(workspace, file)
    Workspace.init(tmp_path / "other")
    other = open_workspace(tmp_path / "other")
    row = importing.import_zip(other, file, actor="anna")
    assert row.status is ModelStatus.CANDIDATE
    service.check_files(other, row)
    assert tree_digest(other.models / row.version) == tree_digest(workspace.models / "round-1")
    with pytest.raises(Conflict, match=f"has not been tried here.*models try {row.version}"):
        service.promote(other, row.version)
    tried = trials.try_version(other, row.version)
    assert (tried.status, tried.tried_at is not None) == (ModelStatus.FAILED, True)
    assert tried.problem is not None and "cannot be loaded" in tried.problem
    with pytest.raises(Conflict, match=r"does not work here: its files cannot be loaded.*models try"):
        service.promote(other, row.version)
    assert list((other.root / "tmp").iterdir()) == []
    other.close()


def test_labels_of_a_model_are_matched_by_name(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    names = LabelScheme.default().label_names
    swapped = names | {"right_kidney": names["left_kidney"], "left_kidney": names["right_kidney"]}
    renamed = {
        name.replace("_", " ").title() if name != "liver" else "Leber": number for name, number in swapped.items()
    }
    make_model(tmp_path / "m", labels=renamed | {"L1/fat": 41})
    archive.write_archive(tmp_path / "m", tmp_path / "m.zip")
    with pytest.raises(
        InvalidInput, match=r"2 of the model's labels .* 'Leber', 'L1/fat'.*'Leber = spleen'.*--labels FILE"
    ):
        importing.import_zip(workspace, tmp_path / "m.zip")
    assert list(workspace.models.iterdir()) == []
    for given, message in (
        ({"Leber": "livver"}, "'Leber' the structure 'livver', which this workspace's label scheme lacks"),
        ({"Leber": "liver", "Milz": "spleen"}, "names the label 'Milz', which the model lacks"),
        ({"Leber": "liver"}, "'L1/fat = -'"),
    ):
        with pytest.raises(InvalidInput, match=message):
            importing.import_zip(workspace, tmp_path / "m.zip", labels=given)
    row = importing.import_zip(workspace, tmp_path / "m.zip", labels={"leber": "Liver", "*": "-"})
    assert row.path is not None
    folder = workspace.path(row.path)
    found = ModelConventions.read(folder).label_ids(
        read_model(workspace.models / row.version).label_names, workspace.scheme
    )
    assert found[swapped["left_kidney"]] == names["left_kidney"] and found[names["liver"]] == names["liver"]
    assert 41 not in found and len(found) == 40
    # What was stated leaves with the model, and is taken from there.
    service.export(workspace, row.version, tmp_path / "again.zip")
    Workspace.init(tmp_path / "other")
    other = open_workspace(tmp_path / "other")
    again = importing.import_zip(other, tmp_path / "again.zip")
    assert again.weights_digest == row.weights_digest
    other.close()


def test_a_model_that_cannot_work_on_our_images_is_refused(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    def changed(name: str, file: str, **values: object) -> Path:
        make_model(tmp_path / name)
        path = tmp_path / name / TRAINED / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        archive.write_archive(tmp_path / name, tmp_path / f"{name}.zip")
        return tmp_path / f"{name}.zip"

    two = changed("two", "dataset.json", channel_names={"0": "water", "1": "fat"})
    with pytest.raises(InvalidInput, match=r"takes 2 channels \(water, fat\)"):
        importing.import_zip(workspace, two)
    with pytest.raises(InvalidInput, match="no channel_names"):
        importing.import_zip(workspace, changed("none", "dataset.json", channel_names={}))
    lying = changed("lying", "plans.json", image_reader_writer="SimpleITKIO")
    with pytest.raises(InvalidInput, match="SimpleITKIO, takes an image as its file lies.*--orientation LPS"):
        importing.import_zip(workspace, lying)
    with pytest.raises(InvalidInput, match="'ABC' is not an orientation"):
        importing.import_zip(workspace, lying, orientation="ABC")
    row = importing.import_zip(workspace, lying, orientation="lps")
    assert row.path is not None and ModelConventions.read(workspace.path(row.path)).orientation == "LPS"
    twice = changed("twice", "dataset.json", labels={"background": 0, "spleen": 1, "liver": 1})
    with pytest.raises(InvalidInput, match="a number of its own"):
        importing.import_zip(workspace, twice)
    same = "'Spleen' and 'spleen' both mean spleen"
    with pytest.raises(InvalidInput, match=same):
        importing.import_zip(
            workspace, changed("same", "dataset.json", labels={"background": 0, "Spleen": 1, "spleen": 2})
        )
    with pytest.raises(InvalidInput, match="drafts would be empty"):
        importing.import_zip(
            workspace, changed("other", "dataset.json", labels={"background": 0, "tumour": 1}), labels={"*": "-"}
        )


def test_a_folder_of_a_trained_model_is_imported_from_wherever_one_stands_in_it(
    workspace: OpenedWorkspace, tmp_path: Path
) -> None:
    data_set = make_model(tmp_path / "m") / TRAINED.partition("/")[0]
    (data_set.parent / TRAINED / "fold_0" / "checkpoint_best.pth").write_bytes(b"large")
    row = importing.import_zip(workspace, tmp_path / "m")
    assert row.path == f"models/{row.version}/{TRAINED}"
    assert not list(workspace.path(row.path).rglob("checkpoint_best.pth"))
    for folder in (data_set, tmp_path / "m" / TRAINED):
        with pytest.raises(Conflict, match=row.version):
            importing.import_zip(workspace, folder)
    for folder, message in {tmp_path / "none": "does not exist", workspace.root / "images": "no plans.json"}.items():
        with pytest.raises(InvalidInput, match=message):
            importing.import_zip(workspace, folder)


def test_maps_of_labels_are_read_in_every_common_form(tmp_path: Path) -> None:
    expected = {"Leber": "liver", "fat": "-", "Niere (links)": "left_kidney"}
    for text in (
        "# ours\nLeber = liver\n\nfat=-\nNiere (links) = left_kidney\n",
        "Leber\tliver\nfat\t-\nNiere (links)\tleft_kidney\n",
        "\ufeffLeber;liver\r\nfat;-\r\nNiere (links);left_kidney\r\n",
        '{"Leber": "liver", "fat": null, "Niere (links)": "left_kidney"}',
    ):
        (tmp_path / "map").write_text(text, encoding="utf-8")
        assert read_label_map(tmp_path / "map") == expected
    for text in ("Leber\n", "Leber = liver\nLeber = spleen\n", '{"a": 1}', "{"):
        (tmp_path / "map").write_text(text)
        with pytest.raises(InvalidInput, match="map"):
            read_label_map(tmp_path / "map")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "a\\..\\evil"])
def test_import_refuses_entries_that_would_leave_the_folder(
    workspace: OpenedWorkspace, tmp_path: Path, name: str
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive_file:
        archive_file.writestr(name, "x")
    with pytest.raises(InvalidInput, match="must not be in"):
        importing.import_zip(workspace, tmp_path / "m.zip")


def test_import_refuses_links_damage_and_strangers(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive_file:
        archive_file.writestr(link, "/etc/passwd")
    with pytest.raises(InvalidInput, match="must not be in"):
        importing.import_zip(workspace, tmp_path / "link.zip")
    archive.write_archive(make_model(tmp_path / "m"), tmp_path / "m.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "m.zip").read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="not a complete zip"):
        importing.import_zip(workspace, tmp_path / "cut.zip")
    (tmp_path / "empty").mkdir()
    archive.write_archive(tmp_path / "empty", tmp_path / "empty.zip")
    with pytest.raises(InvalidInput, match="Dataset123_Name"):
        importing.import_zip(workspace, tmp_path / "empty.zip")
    with pytest.raises(InvalidInput, match="missing.zip does not exist"):
        importing.import_zip(workspace, tmp_path / "missing.zip")


def test_layout_says_what_is_missing(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    assert read_model(tmp_path / "m").folds == ("fold_0",)
    (tmp_path / "m" / TRAINED / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(InvalidInput, match="checkpoint_final"):
        read_model(tmp_path / "m")
    (tmp_path / "m" / TRAINED / "plans.json").unlink()
    with pytest.raises(InvalidInput, match=r"plans\.json"):
        read_model(tmp_path / "m")


def test_compare_uses_only_cases_that_both_have(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for version in ("a", "b"):
            service.register(session, version, service.StoredModel(f"models/{version}", version * 64), actor="test")
        person = add_participant(session, "p1", held_out=True)
        first, second = (
            add_annotation(session, add_acquisition(session, person, station=name)) for name in ("abdomen", "pelvis")
        )
        add_evaluation(session, "a", first, 0.5, {"liver": 0.5, "spleen": None})
        add_evaluation(session, "b", first, 0.7, {"liver": 0.7, "spleen": 0.1})
        add_evaluation(session, "a", second, 0.0, {"liver": 0.0})
    with workspace.catalog.read() as session:
        result = compare(session, workspace.scheme, "a", "b")
        assert result.cases == 1
        assert result.difference.mean == pytest.approx(0.2) and result.difference.participants == 1
        assert [score.mean_dsc for score in result.scores] == [0.5, 0.7]
        assert [score.structures for score in result.scores] == [
            {"liver": StructureScore(1, dsc)} for dsc in (0.5, 0.7)
        ]
        with pytest.raises(NotFound):
            compare(session, workspace.scheme, "a", "nobody")


def test_companions_of_operating_systems_are_no_part_of_a_model(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    expected = tree_digest(folder)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    assert tree_digest(folder) == expected
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        for path in files_of(folder):
            file.write(path, path.relative_to(folder).as_posix())
        for name in (f"__MACOSX/{TRAINED}/._plans.json", f"{TRAINED}/._fold_0", ".DS_Store", f"{TRAINED}/desktop.ini"):
            file.writestr(name, b"x")
    row = importing.import_zip(workspace, tmp_path / "model.zip")
    assert row.weights_digest == expected
    assert sorted(path.name for path in (workspace.models / row.version).rglob("*") if path.is_file()) == [
        "checkpoint_final.pth",
        "dataset.json",
        "plans.json",
    ]


def test_an_archive_with_names_that_no_file_can_have_is_refused(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    for name in (f"{TRAINED}/{'x' * 300}", f"{TRAINED}/plans.json/x", "__MACOSX/../../x"):
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
            file.writestr(f"{TRAINED}/plans.json", b"{}")
            file.writestr(name, b"x")
        with pytest.raises(InvalidInput):
            importing.import_zip(workspace, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("Müller/plans.json", b"{}")
    broken = (tmp_path / "model.zip").read_bytes().replace("Müller".encode(), b"M\xfcller_")
    (tmp_path / "model.zip").write_bytes(broken)
    with pytest.raises(InvalidInput, match="not a complete zip"):
        importing.import_zip(workspace, tmp_path / "model.zip")
