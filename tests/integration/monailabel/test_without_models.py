"""With PRESEGMENTATION off readers draw in empty masks, nothing is drafted or trained, and no weights are needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fastapi.testclient import TestClient

from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.types import StructureState
from mrseg_label.errors import Conflict, LabelError
from mrseg_label.maintenance.checks import State, check_workspace
from mrseg_label.maintenance.checks.settings import require_settings
from mrseg_label.rounds.service import start
from mrseg_label.worker.supervise import WorkerPool
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.support.annotation_house import GRID, House, make_house

SETTINGS = (
    'AUTH = "off"\nPRESEGMENTATION = "off"\nTOTALSEG_WEIGHTS_PATH = "/nowhere"\nREQUIRED_STRUCTURES = "liver, spleen"\n'
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, SETTINGS)


def test_readers_draw_in_an_empty_mask_with_all_names(house: House, tmp_path: Path) -> None:
    scheme = house.workspace.scheme
    client = TestClient(build(ProtocolApp(house.workspace)), base_url="http://localhost", client=("127.0.0.1", 1))
    info = client.get("/info/").json()
    assert "PRESEGMENTATION is off" in info["description"] and info["labels"] == scheme.shown_names
    sample = client.post("/activelearning/balanced", json={"client_id": "user-xyz"}).json()
    assert sample["id"] == house.examination
    for extension in (".nrrd", ".seg.nrrd"):
        params = f'{{"result_extension": "{extension}", "client_id": "user-xyz"}}'
        reply = client.post("/infer/mrseg", params={"image": sample["id"], "output": "image"}, data={"params": params})
        assert reply.status_code == 200
        (tmp_path / f"mask{extension}").write_bytes(reply.content)
        mask = sitk.ReadImage(str(tmp_path / f"mask{extension}"))
        assert mask.GetSize() == GRID.shape and not sitk.GetArrayFromImage(mask).any()
    described = client.post("/infer/mrseg", params={"image": sample["id"], "output": "json"}).json()
    assert described["label_names"] == scheme.shown_names and described["presegmentation"] is None


def test_an_untouched_segment_says_nothing_unless_its_structure_is_required(house: House) -> None:
    house.take()
    names = list(house.workspace.scheme.names)
    array = np.zeros(GRID.shape, dtype=np.uint8)
    with pytest.raises(LabelError, match="nothing is drawn"):
        house.send(array, "kidney_left")
    array[1:3] = names.index("liver") + 1
    sent = house.send(array, *names)
    with house.catalog.read() as session:
        annotation = annotation_rows.get(session, sent.annotation_id)
        assert annotation is not None and annotation.presegmentation_id is None  # also not the one of earlier times
        states = {item.structure: item.state for item in annotation.structures}
    assert states.pop("liver") is StructureState.DRAWN
    assert states.pop("spleen") is StructureState.ABSENT
    assert set(states.values()) == {StructureState.NOT_ANNOTATED}


def test_nothing_is_trained_and_no_weights_are_needed(house: House) -> None:
    with pytest.raises(Conflict, match="PRESEGMENTATION is off"):
        start(house.workspace, actor="ada")
    assert require_settings(house.workspace, computes=True) == []
    weights = [
        check
        for check in check_workspace(house.workspace.root, verify=False, progress=lambda *_: None)
        if check.name == "weights"
    ]
    assert [check.state for check in weights] == [State.OK]
    assert WorkerPool(house.workspace).queues == {"light": ("light",)}
