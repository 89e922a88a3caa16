"""MONAI Label's own client, used as Slicer's module uses it, with a server that requires sign-in."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlretrieve

import numpy as np
import pytest
import SimpleITK as sitk
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import Role
from tests.integration.conftest import PASSWORD, Guarded


@pytest.fixture
def reader(guarded: Guarded, tmp_path: Path) -> MONAILabelClient:
    """A client that has signed in as the module does: it asks whether it must, and keeps the token."""
    accounts.add(guarded.catalog, name_of(tmp_path), Role.RADIOLOGIST, password=PASSWORD, actor="test")
    client = MONAILabelClient(guarded.url, tmpdir=str(tmp_path), client_id="user-xyz")
    assert client.auth_enabled()
    assert not client.auth_valid_token()
    client.update_auth(client.auth_token(name_of(tmp_path), PASSWORD))
    assert client.auth_valid_token()
    return client


def name_of(folder: Path) -> str:
    return f"dr.{folder.name[-20:].strip('_')}"


def test_a_working_day(guarded: Guarded, reader: MONAILabelClient, tmp_path: Path) -> None:
    name = name_of(tmp_path)
    labels = reader.info()["labels"]
    assert list(labels) == list(guarded.workspace.scheme.names)
    sample = reader.next_sample("sequential", {})
    assert "path" not in sample
    image_file = tmp_path / sample["name"]
    # The module's download: no header, and the id as it came.
    urlretrieve(f"{guarded.url}/datastore/image?image={sample['id']}", image_file)
    image = sitk.ReadImage(str(image_file))
    assert sample["id"] in reader.datastore()["objects"]

    mask_file, params = reader.infer("mrseg", sample["id"], {"result_extension": ".nrrd", "result_dtype": "uint8"})
    assert list(params["label_names"]) == list(labels)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(mask_file))
    assert mask.shape == image.GetSize()[::-1] and mask.any()

    # The reader has removed all segments but two, and drawn one of them anew.
    edited = np.zeros_like(mask, dtype=np.int16)
    edited[1:4, 1:4, 1:4] = 2
    label = sitk.GetImageFromArray(edited)
    label.CopyInformation(image)
    file = tmp_path / "label.nrrd"
    sitk.WriteImage(label, str(file))
    info = [{"name": "spleen", "idx": 3}, {"name": "liver", "idx": 9}]
    reader.save_label(sample["id"], str(file), params={"label_info": info})
    with guarded.catalog.read() as session:
        assignment = session.query(Assignment).filter_by(ticket=sample["id"]).one()
        annotation = session.query(Annotation).filter_by(acquisition_id=assignment.acquisition_id, author=name).one()
        assert (annotation.assignment_id, annotation.client) == (assignment.id, "user-xyz")
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(guarded.workspace.path(annotation.path))))
    np.testing.assert_array_equal(stored, np.where(edited == 2, labels["liver"], 0))

    # "Auto update model" after each submission.
    assert "automatically" in str(reader.train_start("mrseg", {}))
    assert reader.train_stop()
    following = reader.next_sample("sequential", {})
    assert following["id"] != sample["id"]


def test_a_disabled_account_gets_the_reason(guarded: Guarded, reader: MONAILabelClient, tmp_path: Path) -> None:
    sample = reader.next_sample("sequential", {})
    accounts.disable(guarded.catalog, name_of(tmp_path), actor="test")
    file = tmp_path / "label.nii.gz"
    file.write_bytes(b"of no matter")
    for act in (
        lambda: reader.save_label(sample["id"], str(file), params={"label_info": []}),
        lambda: reader.next_sample("sequential", {}),
        reader.info,
        # The module keeps the password and signs in again by itself.
        lambda: reader.auth_token(name_of(tmp_path), PASSWORD),
    ):
        with pytest.raises(MONAILabelClientException, match="is disabled; ask an administrator"):
            act()
    assert not reader.auth_valid_token()


def test_a_wrong_password_gets_the_reason(guarded: Guarded, tmp_path: Path) -> None:
    client = MONAILabelClient(guarded.url, tmpdir=str(tmp_path), client_id="user-xyz")
    with pytest.raises(MONAILabelClientException, match="wrong name or password"):
        client.auth_token("radiologist", "this is not the password")
    with pytest.raises(MONAILabelClientException, match="sign in first"):
        client.info()
