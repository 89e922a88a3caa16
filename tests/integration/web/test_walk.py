"""A study from the browser, as docs/study-from-the-browser.md describes it: a real server, real workers, real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from playwright.sync_api import Browser, Page

from mrseg_label.registry.archive import write_archive
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.server import Server
from tests.integration.conftest import PASSWORD, write_image
from tests.support.chromium import chromium
from tests.support.tiny_weights import write_tiny_model

SETTINGS = """
REVIEW = "required"
WORKERS = 1
DEVICE = "cpu"
TRAINING_PROFILE = "smoke"
PROMOTION = "manual"
PREPARE_AHEAD = 1
"""
MINUTES = 8 * 60_000  # milliseconds, for what takes seconds on an idle machine


def command(*arguments: object, typed: str = "") -> None:
    words = [sys.executable, "-m", "mrseg_label.cli", *map(str, arguments)]
    subprocess.run(words, input=typed, text=True, check=True, capture_output=True)


def sign_in(browser: Browser, url: str, name: str, password: str = PASSWORD) -> Page:
    page = browser.new_context().new_page()
    page.goto(url)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=name).first.wait_for()
    return page


def open_page(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()


def add_user(page: Page, name: str, role: str) -> None:
    open_page(page, "Users")
    form = page.locator("section", has=page.get_by_role("heading", name="Add an account"))
    form.get_by_label("Name").fill(name)
    form.get_by_label("Role").select_option(role)
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_label("The same again").fill(PASSWORD)
    form.get_by_role("button", name="Create account").click()
    page.get_by_text("The account was created.").wait_for()


def annotate(url: str, name: str, password: str, folder: Path) -> str:
    """Annotate the next case as the module of 3D Slicer does; returns its name for the reader."""
    folder.mkdir()
    with SlicerClient(url, name) as slicer:
        slicer.sign_in(name, password)
        sample = slicer.next_sample("balanced")
        assert sample is not None
        image = sitk.ReadImage(str(slicer.download_image(sample, folder)))
        draft = slicer.infer("mrseg", sample.id, folder)
        assert "liver" in draft.names and sitk.ReadImage(str(draft.file)).GetSize() == image.GetSize()
        array = np.zeros(image.GetSize()[::-1], dtype=np.int16)
        array[2:6, 3:8, 3:8] = 1
        label = sitk.GetImageFromArray(array)
        label.CopyInformation(image)
        sitk.WriteImage(label, str(folder / "label.nrrd"))
        slicer.submit(sample.id, folder / "label.nrrd", ["liver"], "mrseg")
        return sample.id


def train_and_promote(chief: Page) -> None:
    """Start a round, follow it, promote its model and roll that back."""
    open_page(chief, "Overview")
    chief.get_by_text("Next round").wait_for()
    open_page(chief, "Rounds")
    chief.get_by_role("button", name="Start", exact=True).click()
    chief.get_by_text("The round is queued").or_(chief.get_by_role("alert")).first.wait_for()
    assert chief.get_by_role("heading", name="Round 1").is_visible(), chief.locator("main").inner_text()
    ended = chief.locator("main .badge.done, main .badge.failed").first
    ended.wait_for(timeout=MINUTES)  # without loading the page again
    assert ended.inner_text() == "done", chief.locator("main").inner_text()
    open_page(chief, "Models")
    chief.get_by_role("link", name="r1", exact=True).first.click()
    chief.get_by_text("Promote", exact=True).click()
    chief.get_by_role("button", name="Promote r1").click()
    chief.get_by_text("Drafts are made anew by this version").wait_for()
    open_page(chief, "Models")
    chief.get_by_text("Roll back", exact=True).click()
    chief.get_by_role("button", name="Roll back now").click()
    chief.get_by_text("Rolled back.").wait_for()


def import_model(chief: Page, folder: Path) -> None:
    """Import a model of another group, whose name for the liver is a German one, and see that it works here."""
    write_archive(write_tiny_model(folder / "model", {"Leber": 1, "spleen": 2}), folder / "model.zip")
    (folder / "map.txt").write_text("Leber = liver\n")
    chief.get_by_label("Zip of a trained nnU-Net").set_input_files(folder / "model.zip")
    chief.get_by_role("button", name="Send and import").click()
    chief.get_by_role("alert").get_by_text("'Leber'").first.wait_for()
    chief.get_by_label("Zip of a trained nnU-Net").set_input_files(folder / "model.zip")
    chief.get_by_label("Label map").set_input_files(folder / "map.txt")
    chief.get_by_role("button", name="Send and import").click()
    chief.get_by_text("It works here and can be promoted").wait_for(timeout=MINUTES)
    assert chief.get_by_text("Promote", exact=True).is_visible()


@pytest.mark.soak
def test_a_study_runs_from_the_browser(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    command("init", folder)
    (folder / "mrseg.toml").write_text((folder / "mrseg.toml").read_text() + SETTINGS)
    command("users", "add", "chief", "--role", "admin", "--workspace", folder, typed=f"{PASSWORD}\n{PASSWORD}\n")
    images = tmp_path / "images"
    for person in ("p1", "p2", "p3"):
        (images / person).mkdir(parents=True)
        write_image(images / person / "abdomen_in.nii.gz", int(person[1]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MRSEG_")}
    with Server(folder, tmp_path / "serve.log", environment=environment) as server, chromium() as browser:
        chief = sign_in(browser, server.url, "chief")
        add_user(chief, "ada", "radiologist")
        add_user(chief, "rita", "reviewer")

        open_page(chief, "Import images")
        chief.get_by_label("or a folder").set_input_files(images)
        chief.get_by_text("Names, orientation, masks").first.click()
        chief.get_by_label("Pattern of the paths").first.fill("{participant}/{station}_{sequence}.nii.gz")
        chief.get_by_role("button", name="Send and import").click()
        chief.get_by_text("3 new, 0 known already").wait_for(timeout=60_000)  # without loading the page again
        assert not list((folder / "inbox").iterdir())
        (folder / "inbox" / "more").mkdir()
        write_image(folder / "inbox" / "more" / "p4.nii.gz", 4)
        open_page(chief, "Import images")
        chief.locator("section", has=chief.get_by_role("heading", name="From the server")).get_by_role("button", name="Import").click()  # fmt: skip
        chief.get_by_text("1 new, 0 known already").wait_for(timeout=60_000)
        open_page(chief, "Examinations")
        assert chief.get_by_role("link", name=re.compile("^ex-")).count() == 4

        ada = sign_in(browser, server.url, "ada")
        open_page(ada, "Connect 3D Slicer")
        assert server.url in ada.locator("#address").inner_text()
        ada.get_by_role("link", name="ada").first.click()
        ada.get_by_label("Where will you use it?").fill("Slicer")
        ada.get_by_role("button", name="Create app password").click()
        secret = ada.locator(".secret").first.inner_text()
        annotate(server.url, "ada", secret, tmp_path / "first")

        rita = sign_in(browser, server.url, "rita")
        open_page(rita, "Quality")
        rita.get_by_label("Comment").fill("the liver is too small")
        rita.get_by_role("button", name="Reject").click()
        rita.get_by_text("It goes back to its author").or_(rita.get_by_text("goes back to its author")).first.wait_for()
        annotate(server.url, "ada", secret, tmp_path / "again")  # the same case, in spite of an equal mask
        open_page(rita, "Quality")
        rita.get_by_role("button", name="Accept").click()
        rita.get_by_text("it counts from now on").wait_for()

        for name in ("second", "third"):
            annotate(server.url, "ada", secret, tmp_path / name)
            open_page(rita, "Quality")
            rita.get_by_role("button", name="Accept").click()
            rita.get_by_text("it counts from now on").wait_for()

        train_and_promote(chief)
        import_model(chief, tmp_path)
        open_page(chief, "Users")
        section = chief.locator("section", has=chief.get_by_role("heading", name=re.compile("^ada")))
        section.get_by_text("Change", exact=True).click()
        section.get_by_label("New password").fill("another secret of words")
        section.get_by_label("The same again").fill("another secret of words")
        section.get_by_role("button", name="Set password").click()
        chief.get_by_text("The password was changed.").wait_for()
        sign_in(browser, server.url, "ada", "another secret of words")
        open_page(chief, "Audit trail")
        assert chief.get_by_text("account.password").or_(chief.get_by_text("import.start")).count() > 1
