"""Stations of one participant, shown together: the page, the views, REST, and what Slicer downloads."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from mrseg_label.catalog.queries import audit
from tests.integration.web.conftest import Browser
from tests.integration.web.test_browser import watch
from tests.integration.web.test_dashboard import words
from tests.integration.web.test_viewer import picture
from tests.integration.web.test_viewer_browser import Served, opened, places_of, seen
from tests.support.stations import grid, store_station

BASE = "/dashboard/examinations"


def test_the_viewer_draws_them_over_the_mask_in_paler_colours(served: Served) -> None:
    browser, address, workspace = served
    liver, spleen = workspace.scheme["liver"], workspace.scheme["spleen"]
    mask = np.full(grid(28, 10).shape, liver.id, dtype=np.uint8)
    own = np.full(grid(0, 10).shape, spleen.id, dtype=np.uint8)
    here = store_station(workspace, "seam-seen", "pelvis", grid(0, 10), mask=own).examinations["in"]
    store_station(workspace, "seam-seen", "abdomen", grid(28, 10), mask=mask)
    with browser.new_context(viewport={"width": 1100, "height": 620}) as context:
        page = context.new_page()
        wrong = watch(page, address)
        opened(page, f"{address}{BASE}/{here}/view")
        page.locator("#opacity").fill("1")
        page.get_by_label("Coronal", exact=True).check()
        pale = tuple(round((part + 255) / 2) for part in liver.color)
        canvas = page.locator("#canvas")
        assert not len(places_of(seen(canvas), pale))
        page.locator("#neighbours").check()
        page.locator('#viewer[data-neighbours="on"]').wait_for(timeout=60_000)
        pixels = seen(canvas)
        above, below = places_of(pixels, pale), places_of(pixels, spleen.color)
        assert len(above) > 400 and len(below) > 400 and above[:, 0].max() <= below[:, 0].min() + 3, (
            "in the upper slices"
        )
        page.locator("#neighbours").uncheck()
        page.locator('#viewer[data-neighbours="off"]').wait_for(timeout=60_000)
        assert not len(places_of(seen(canvas), pale))
        assert wrong == []


def test_the_annotations_of_neighbours_are_at_hand(own: Browser) -> None:
    scheme = own.workspace.scheme
    liver = scheme["liver"]
    mask = np.full(grid(28, 10).shape, liver.id, dtype=np.uint8)
    here = store_station(own.workspace, "seam", "pelvis", grid(0, 10, axcodes="LPS")).examinations["in"]
    store_station(own.workspace, "seam", "abdomen", grid(28, 10), mask=mask)
    plain = words(own.get(f"{BASE}/{here}"))
    assert "Stations of this participant" in plain and plain.index("abdomen") < plain.index("pelvis, this case")
    assert "shares 12.0 mm with the next" in plain and "abdomen: annotation 1 by anna" in plain
    listed = own.http.get(f"/api/v1/examinations/{here}/stations").json()["items"]
    assert [(one["station"], one["state"], one["requested"]) for one in listed] == [
        ("abdomen", "annotated", False),
        ("pelvis", "waiting", True),
    ]
    assert 'id="neighbours"' in own.get(f"{BASE}/{here}/view")
    assert 'id="neighbours"' not in own.get(f"{BASE}/{listed[0]['examination']}/view"), "the pelvis is not annotated"
    got = own.http.get(f"{BASE}/{here}/view/masks/neighbours.nii.gz")
    image = nib.Nifti1Image.from_bytes(gzip.decompress(got.content))
    np.testing.assert_allclose(image.affine, grid(0, 10, axcodes="LPS").affine)
    labels = np.asarray(image.dataobj)
    assert not labels[..., :7].any() and (labels[..., 7:] == liver.id).all()
    shown = picture(own, here, "plane=coronal&shown=neighbours&first=-&second=-")
    assert (np.abs(shown - np.array(liver.color)).sum(axis=2) < 60).any()
    other = own.http.get(f"{BASE}/{listed[0]['examination']}/slices?shown=neighbours")
    assert other.status_code == 200 and ">neighbours<" not in other.text
    assert own.http.get(f"{BASE}/{listed[0]['examination']}/view/masks/neighbours.nii.gz").status_code == 404
    with own.workspace.catalog.read() as session:
        assert audit.page(session, 5, subjects=[f"{here}-neighbours.nii.gz"])


def test_slicer_gets_them_as_segments(own: Browser, tmp_path: Path) -> None:
    liver = own.workspace.scheme["liver"]
    mask = np.full(grid(28, 10).shape, liver.id, dtype=np.uint8)
    here = store_station(own.workspace, "seam", "pelvis", grid(0, 10)).examinations["in"]
    store_station(own.workspace, "seam", "abdomen", grid(28, 10), mask=mask)
    wanted = {"label": here, "tag": "neighbours"}
    got = own.http.get("/datastore/label", params=wanted)
    assert got.status_code == 200 and got.headers["content-disposition"].endswith('-neighbours.seg.nrrd"')
    (tmp_path / "neighbours.seg.nrrd").write_bytes(got.content)
    found = sitk.ReadImage(str(tmp_path / "neighbours.seg.nrrd"))
    fields = {key: found.GetMetaData(key) for key in found.GetMetaDataKeys() if key.startswith("Segment")}
    assert (fields["Segment0_Name"], fields["Segment0_LabelValue"]) == (liver.shown_name, str(liver.id))
    assert "Segment1_Name" not in fields
    assert (sitk.GetArrayViewFromImage(found) == liver.id).sum() == 3 * 8 * 6
    assert own.http.get("/datastore/label", params=wanted | {"label": "ex-none"}).status_code == 404
    refused = own.http.get("/datastore/label", params=wanted | {"tag": "neighbour"})
    assert refused.status_code == 422 and "'neighbours'" in refused.json()["detail"]
