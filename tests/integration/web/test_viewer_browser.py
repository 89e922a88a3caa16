"""The viewer in Chromium: left is left, colours are the scheme's, differences are found, and it works without WebGL2."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Examination
from tests.integration.web.test_browser import LOOKS, watch
from tests.integration.web.test_viewer import masks_of, with_files
from tests.support.chromium import another

Served = tuple[Browser, str, OpenedWorkspace]
SMALL: dict[str, Any] = {"viewport": {"width": 1100, "height": 620}}
LETTERS = (143, 199, 255)


def opened(page: Page, address: str) -> Locator:
    """Open the viewer and wait for its picture."""
    page.goto(address)
    viewer = page.locator("#viewer[data-state]")
    viewer.wait_for(timeout=60_000)
    assert viewer.get_attribute("data-state") == "ready", page.locator("#message").inner_text()
    return viewer


def seen(element: Locator) -> NDArray[np.int64]:
    """The pixels of an element on the screen: (rows, columns, 3)."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(np.int64)


def places_of(pixels: NDArray[np.int64], color: tuple[int, ...], tolerance: int = 12) -> NDArray[np.int64]:
    """Rows and columns of the pixels of a colour."""
    return np.argwhere(np.abs(pixels - np.array(color)).max(axis=2) <= tolerance)


@pytest.mark.parametrize(("code", "axcodes"), [("P004", "LPS"), ("P005", "PIR")])
def test_left_is_left_and_colours_are_those_of_the_scheme(served: Served, code: str, axcodes: str) -> None:
    browser, address, workspace = served
    examination = with_files(workspace, code, axcodes)
    colors = {one.id: one.color for one in workspace.scheme}
    base = f"{address}/dashboard/examinations/{examination}"
    with browser.new_context(**SMALL) as context:
        page = context.new_page()
        wrong = watch(page, address)
        opened(page, f"{base}/view?shown=first&first={masks_of(workspace, examination)[0]}&second=-")
        page.locator("#opacity").fill("1")
        page.get_by_label("Window").fill("1000")
        page.get_by_label("Level").fill("500")
        expect(page.locator("#grey")).to_have_text("0 to 1000")
        page.get_by_role("button", name="Go to").first.click()
        name = next(one.shown_name for one in workspace.scheme).replace("_", " ")
        expect(page.locator("#where")).to_contain_text(f"grey value 1000; first: {name}")
        for plane in ("Axial", "Coronal"):
            page.get_by_label(plane, exact=True).check()
            pixels = seen(page.locator("#canvas"))
            middle = pixels.shape[1] / 2
            right_side, left_side = places_of(pixels, colors[1]), places_of(pixels, colors[2])
            assert len(right_side) > 400 and right_side[:, 1].max() < middle, "the marker, in the colour of structure 1"
            assert len(left_side) > 400 and left_side[:, 1].min() > middle
            grey = (np.ptp(pixels, axis=2) <= 2) & (pixels.max(axis=2) > 20) & (pixels.max(axis=2) < 150)
            assert grey.sum() > 4 * (len(right_side) + len(left_side)), "where no structure is, the image is grey"
            letters = places_of(pixels, LETTERS, 60)
            ink = (letters[:, 1] < middle).sum(), (letters[:, 1] > middle).sum()
            assert min(ink) > 5, "letters at both sides"
        page.get_by_label("3D", exact=True).check()
        assert len(places_of(seen(page.locator("#canvas")), (0, 0, 0))) > 1000
        page.goto(f"{base}/slices?shown=first&at=8")
        pixels = seen(page.locator("img.slice"))
        found = places_of(pixels, colors[1], 30)  # its outline
        assert len(found) > 50 and found[:, 1].max() < pixels.shape[1] / 2
        assert not wrong


def test_differences_are_found_and_structures_and_sequences_are_switched(served: Served) -> None:
    browser, address, workspace = served
    examination = with_files(workspace, "P006")
    names = [one.shown_name.replace("_", " ") for one in workspace.scheme][:3]
    with browser.new_context(**LOOKS[0]) as context:
        page = context.new_page()
        wrong = watch(page, address)
        page.goto(f"{address}/dashboard/examinations/{examination}")
        page.get_by_role("link", name="Open the viewer").press("Enter")
        expect(page.locator("#place")).to_have_text("2 places, largest first.", timeout=60_000)
        page.get_by_role("button", name="Next").press("Enter")
        expect(page.locator("#place")).to_contain_text(f"1 of 2: {names[0]}")
        expect(page.locator("#where")).to_contain_text(f"first: {names[0]}; second: {names[2]}")
        page.keyboard.press("n")
        expect(page.locator("#place")).to_contain_text(f"2 of 2: {names[2]}")
        page.get_by_label(names[2], exact=True).press("Space")
        expect(page.locator("#place")).to_have_text("1 places, largest first.")
        with workspace.catalog.read() as session:
            case = session.get_one(Examination, examination).acquisition_id
            other = session.query(Examination).filter_by(acquisition_id=case, sequence="fat").one().id
        expect(page.locator("#where")).to_contain_text("grey value 1000")
        page.get_by_label("Sequence").select_option(other)
        expect(page.locator("#where")).to_contain_text("grey value 1002", timeout=30_000)
        assert f"image={other}" in page.url and "P006" not in page.url
        page.get_by_role("link", name="Plain slices").click()
        expect(page.get_by_label("Sequence")).to_have_value(other)
        assert not wrong


@pytest.mark.parametrize("look", LOOKS, ids=["wide and light", "narrow and dark"])
def test_both_views_fit_and_are_accessible(served: Served, look: dict[str, Any]) -> None:
    browser, address, workspace = served
    examination = with_files(workspace, "P007")
    with browser.new_context(**look) as context:
        page = context.new_page()
        wrong = watch(page, address)
        for path in ("", "/slices", "/view"):
            page.goto(f"{address}/dashboard/examinations/{examination}{path}")
            if path == "/view":
                page.locator("#viewer[data-state=ready]").wait_for(timeout=60_000)
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            assert not [
                (one["id"], one["nodes"][0]["html"][:200])
                for one in violations
                if one["impact"] in ("serious", "critical")
            ], path
        assert not wrong


def test_without_webgl2_or_scripts_there_are_plain_slices(served: Served) -> None:
    browser, address, workspace = served
    examination = with_files(workspace, "P008")
    path = f"{address}/dashboard/examinations/{examination}"
    with another(browser, "--disable-3d-apis") as plain:
        page = plain.new_page()
        page.goto(f"{path}/view?shown=first")
        page.wait_for_url(f"{path}/slices?shown=first")
        page.get_by_role("heading", name="P008").wait_for()
    with browser.new_context(java_script_enabled=False, **SMALL) as context:
        page = context.new_page()
        page.goto(f"{path}/view")
        page.get_by_role("link", name="The plain slices", exact=True).click()
        page.get_by_role("link", name="Coronal").click()
        page.wait_for_url("**plane=coronal*")
        with page.expect_response("**/slice.png*") as picture:
            page.get_by_role("link", name="one slice on").click()
        assert "Coronal slice" in page.locator(".head").inner_text() and "plane=coronal" in page.url
        assert picture.value.status == 200 and "at=10" in picture.value.url
