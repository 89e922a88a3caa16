"""The page of an examination and its two views: what they show, and to whom."""

from __future__ import annotations

import io
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, AuditEvent, Examination
from mrseg_label.catalog.types import AnnotationState, Role
from mrseg_label.reports.figures.slice_picture import MARGIN
from mrseg_label.reports.viewing import DIFFERENCE_COLORS
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import return_to_queue
from tests.integration.web.conftest import Browser
from tests.integration.web.test_dashboard import words
from tests.support.viewed_case import MARKER, give_files, marked_phantom

CASE = "P010"


@pytest.fixture(scope="module")
def seen(pages: Browser) -> str:
    """The examination that has files, in a study without sign-in."""
    return with_files(pages.workspace)


@pytest.fixture(scope="module")
def seen_signed_in(signed_in: dict[str, Browser]) -> str:
    return with_files(signed_in["root"].workspace)


def with_files(workspace: OpenedWorkspace, code: str = CASE, axcodes: str = "LPS") -> str:
    image, draft, annotation, geometry = marked_phantom(axcodes)
    images = {
        sequence: (image + shift).astype(np.int16) for shift, sequence in enumerate(("in", "opp", "fat", "water"))
    }
    return give_files(workspace, code, images, geometry, draft, annotation)


def masks_of(workspace: OpenedWorkspace, examination: str) -> tuple[str, str]:
    """The draft and the annotation of an examination's case."""
    with workspace.catalog.read() as session:
        case = session.get_one(Examination, examination).acquisition_id
        (draft,) = presegmentations.of_acquisition(session, case, 5)
        return draft.id, session.query(Annotation).filter_by(acquisition_id=case).one().id


def picture(browser: Browser, examination: str, query: str) -> NDArray[np.int64]:
    reply = browser.http.get(f"/dashboard/examinations/{examination}/slices/slice.png?{query}")
    assert reply.status_code == 200 and reply.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGB")).astype(int)


@pytest.mark.parametrize("axcodes", ["LPS", "PIR"])
def test_the_right_of_the_patient_is_on_the_left_of_the_slice(own: Browser, axcodes: str) -> None:
    examination = with_files(own.workspace, axcodes=axcodes)
    for plane in ("axial", "coronal"):
        plain = picture(own, examination, f"plane={plane}&first=-&second=-&at=10")
        bright = np.argwhere((plain > 240).all(axis=2))  # the marker, which is white; letters are blue
        assert len(bright) > 200 and bright[:, 1].max() < plain.shape[1] / 2
    colors = {one.id: one.color for one in own.workspace.scheme}
    draft, annotation = masks_of(own.workspace, examination)
    for query, color in (
        (f"first={draft}&second={annotation}&shown=first", colors[1]),
        (f"first={draft}&second={annotation}&shown=second", colors[3]),
        (f"first={draft}&second={annotation}&shown=differences", DIFFERENCE_COLORS[3]),
        (f"first={draft}&second={annotation}&shown=second&structure=3", colors[3]),
    ):
        shown = picture(own, examination, f"{query}&plane=axial")
        row, column = np.argwhere(np.abs(shown - np.array(color)).sum(axis=2) < 60).mean(axis=0)  # its outline
        assert column < shown.shape[1] / 2 and abs(row - shown.shape[0] / 2) < shown.shape[0] / 4, query
    assert (picture(own, examination, "first=-&second=-")[:MARGIN].max(axis=(0, 1)) > 100).any(), "a letter at the top"


def test_the_viewer_gets_files_on_one_grid_with_the_ids_of_the_scheme(
    pages: Browser, seen: str, tmp_path: Path
) -> None:
    reply = pages.http.get(f"/dashboard/examinations/{seen}/view")
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["img-src"] == "'self' data:", "NiiVue's font and lighting, on this page alone"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == "'none'" and "unsafe" not in reply.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", reply.text)
    draft, annotation = masks_of(pages.workspace, seen)
    arrays = []
    for address in ("view/image.nii.gz", f"view/masks/{draft}.nii.gz", f"view/masks/{annotation}.nii.gz"):
        stored = pages.http.get(f"/dashboard/examinations/{seen}/{address}")
        (tmp_path / "file.nii.gz").write_bytes(stored.content)
        arrays.append(nib.load(tmp_path / "file.nii.gz"))
        assert stored.status_code == 200 and np.allclose(arrays[0].affine, arrays[-1].affine)
    assert set(np.unique(np.asanyarray(arrays[2].dataobj))) == {0, 2, 3}
    found = pages.http.get(f"/dashboard/examinations/{seen}/view/differences?first={draft}&second={annotation}").json()
    names = [one.shown_name.replace("_", " ") for one in pages.workspace.scheme]
    assert [one["name"] for one in found["places"]] == [names[0], names[2]] and found["complete"]
    assert found["places"][0]["only_second_ml"] == 0.0 and found["places"][0]["mm"][0] > 0, "on the right"
    volume = np.prod([part.stop - part.start for part in MARKER]) * 4 * 4 * 5 / 1000
    assert found["places"][0]["ml"] == pytest.approx(volume)


def test_the_plain_view_works_by_links_and_names_what_is_there(pages: Browser, seen: str) -> None:
    address = f"/dashboard/examinations/{seen}/slices"
    text = pages.get(address)
    assert "<script" not in text and "Axial slice" in text and "The patient's right is on the left." in words(text)
    legend = re.findall(r'fill="rgb\(([\d,]+)\)"/></svg>([^<]+)</li>', text)
    scheme = {one.shown_name.replace("_", " "): ",".join(map(str, one.color)) for one in pages.workspace.scheme}
    assert len(legend) == 2 and all(scheme[name] == color for color, name in legend)
    followed = [link.replace("&amp;", "&") for link in re.findall(r'<a href="(\?[^"]+)"', text)]
    assert len(followed) > 10
    assert all(pages.http.get(address + link).status_code == 200 for link in followed[:6] + followed[-2:])
    (source,) = re.findall(r'<img class="slice" src="([^"]+)"', text)
    assert pages.http.get(source.replace("&amp;", "&")).status_code == 200
    assert "slice 1 of" in pages.get(f"{address}?at=0") and "slice 16 of 16" in pages.get(f"{address}?at=9999")
    for wrong in ("at=x", "at=-1", "plane=oblique", "shown=all", "structure=999", "low=nan"):
        assert pages.http.get(f"{address}?{wrong}").status_code == 422, wrong
    for unknown in ("first=an-0", "image=ex-0", "second=..%2F..%2Fmrseg.db"):
        assert pages.http.get(f"{address}?{unknown}").status_code == 200, "another choice is made"


def test_what_is_not_there_is_said(pages: Browser, seen: str) -> None:
    with pages.workspace.catalog.read() as session:
        other = session.query(Annotation).filter(Annotation.examination_id != seen).first()
        assert other is not None
        without_file, foreign = other.examination_id, other.id
    base = "/dashboard/examinations"
    assert "missing from the workspace" in pages.get(f"{base}/{without_file}/slices", 503)
    assert "Open the viewer" not in pages.get(f"{base}/{without_file}")
    for address in (
        f"{seen}/view/masks/{foreign}.nii.gz",
        "ex-0/view",
        f"{CASE}/view",
        f"{CASE}/slices",
        "ex-0/view/image.nii.gz",
    ):
        assert pages.http.get(f"{base}/{address}").status_code == 404, address


def test_the_page_of_an_examination_shows_all_of_it(pages: Browser, seen: str) -> None:
    text = pages.get(f"/dashboard/examinations/{seen}")
    plain = words(text)
    assert (
        "Images of this acquisition" in plain
        and "They are on one grid" in plain
        and "opp" in plain
        and "Draft of " in plain
    )
    assert text.count("slice.png?plane=") == 3 and "View annotation 1" in plain
    pages.get(f"/dashboard/examinations/{seen}/view")
    pages.http.get(f"/dashboard/examinations/{seen}/view/image.nii.gz")
    assert f"downloaded {seen}.nii.gz" in words(pages.get(f"/dashboard/examinations/{seen}")), "the audit trail"


def test_roles_see_what_they_may_see(signed_in: dict[str, Browser], seen_signed_in: str) -> None:
    ada, rita, root, stranger = (signed_in[name] for name in ("ada", "rita", "root", ""))
    workspace = root.workspace
    draft, annotation = masks_of(workspace, seen_signed_in)
    base = f"/dashboard/examinations/{seen_signed_in}"
    files = ("/view", "/slices", "/slices/slice.png", "/view/image.nii.gz", f"/view/masks/{draft}.nii.gz", f"/view/masks/{annotation}.nii.gz", f"/view/differences?first={draft}&second={annotation}")  # fmt: skip
    for address in files:
        assert stranger.http.get(base + address).status_code in (303, 401), address
        assert ada.http.get(base + address).status_code == 403, (address, "not her case")
        assert rita.http.get(base + address).status_code == root.http.get(base + address).status_code == 200
    assert "Audit trail</h2>" in root.get(base) and "Audit trail</h2>" not in rita.get(base)
    assert "Open the viewer" in rita.get(base) and "Open the viewer" not in ada.get(base)
    with workspace.catalog.begin() as session:
        assert session.query(AuditEvent).filter_by(action="downloaded", actor="rita", subject=f"{annotation}.nii.gz").count()  # fmt: skip
        case = session.get_one(Examination, seen_signed_in).acquisition_id
        session.get_one(Annotation, annotation).author = "bert"
        session.get_one(Annotation, annotation).state = AnnotationState.ACCEPTED
        session.get_one(Acquisition, case).annotated_at = session.get_one(Annotation, annotation).created_at

    # One after the other they read the case independently of the first: they see the draft, and nothing of the annotation.
    for reader, name, role in ((rita, "rita", Role.REVIEWER), (ada, "ada", Role.RADIOLOGIST)):
        known = Reader.signed_in(name, role)
        request_case(workspace, known, Purpose.SECOND_READ, case)
        assert reader.http.get(f"{base}/view/masks/{draft}.nii.gz").status_code == 200
        for address in (f"/view/masks/{annotation}.nii.gz", f"/view/differences?first={draft}&second={annotation}"):
            assert reader.http.get(base + address).status_code == 404, address
        for address in ("", "/view", "/slices", f"/view?second={annotation}"):
            assert annotation not in reader.get(base + address), address
            assert "bert" not in words(reader.get(base + address)), address
        blind = picture(reader, seen_signed_in, f"first=-&second={annotation}&shown=second&plane=axial&at=8")
        alone = picture(reader, seen_signed_in, "first=-&second=-&shown=second&plane=axial&at=8")
        assert (blind == alone).all()
        if reader is rita:
            assert "until you submit yours" in rita.get(base) and "until you submit yours" in rita.get(f"{base}/view")
        return_to_queue(workspace.catalog, known, case)
    assert annotation in rita.get(base)
