"""The dashboard in Chromium: every page, at both widths, light and dark, by keyboard."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from sqlalchemy import ColumnElement

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import jobs, models, rounds
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Job, Review
from mrseg_label.catalog.types import AnnotationState, JobKind, JobState, Priority
from tests.integration.web.test_dashboard import PAGES

LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    {"viewport": {"width": 400, "height": 850}, "color_scheme": "dark"},
]


def watch(page: Page, address: str) -> list[str]:
    """Collect what must not happen on a page: messages on the console, errors of scripts, requests to other hosts."""
    found: list[str] = []
    # What the software that stands in for a graphics card says of its speed is not ours.
    page.on(
        "console",
        lambda message: (
            None if "GL Driver Message" in message.text else found.append(f"{message.type}: {message.text}")
        ),
    )
    page.on("pageerror", lambda error: found.append(str(error)))
    host = urlsplit(address).netloc
    page.on("request", lambda request: None if urlsplit(request.url).netloc == host else found.append(request.url))
    return found


@pytest.mark.parametrize("look", LOOKS, ids=["wide and light", "narrow and dark"])
def test_every_page_is_quiet_fits_and_is_accessible(
    served: tuple[Browser, str, OpenedWorkspace], look: dict[str, Any]
) -> None:
    browser, address, _ = served
    with browser.new_context(**look) as context:
        page = context.new_page()
        wrong = watch(page, address)
        page.goto(f"{address}/dashboard/examinations?state=annotated")
        examination = page.locator("tbody th a").first.get_attribute("href")
        for path in (
            *PAGES,
            "/dashboard/mine?client=ada",
            "/dashboard/quality",
            "/dashboard/users",
            "/dashboard/audit",
            "/dashboard/import",
            examination,
        ):
            page.goto(f"{address}{path}")
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 0, (path, too_wide)
            faults = [
                (fault["id"], fault["nodes"][0]["html"][:200])
                for fault in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
            assert not faults, (path, faults)
        assert not wrong


def test_pages_live_and_charts_are_read_off(served: tuple[Browser, str, OpenedWorkspace]) -> None:
    """Without loading a page again: it would ask for itself only after a minute."""
    browser, address, workspace = served
    with browser.new_context(**LOOKS[0]) as context:
        page = context.new_page()
        wrong = watch(page, address)
        page.goto(f"{address}/dashboard")
        effort = page.locator("#chart-effort-picture")
        effort.focus()
        page.keyboard.press("Home")
        assert page.locator(".reading").inner_text().split() == ["bootstrap", page.locator(".value").first.text_content(), "ml"]  # fmt: skip
        assert "bootstrap" in page.locator("figure:has(#chart-effort-picture) .said").inner_text()
        page.keyboard.press("Escape")
        page.locator("#chart-quality-picture").hover()
        assert "held-out cases" in page.locator(".reading").inner_text()
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        with workspace.catalog.begin() as session:
            session.add(Job(kind=JobKind.PRESEGMENT, queue="drafts", key="live", payload={}, state=JobState.FAILED, error="no"))  # fmt: skip
        page.get_by_text("1 draft or other job failed").wait_for(timeout=20_000)

        page.goto(f"{address}/dashboard/quality")
        comment = page.get_by_label("Comment").first
        comment.fill("half a sentence")
        with workspace.catalog.begin() as session:
            row = annotation_rows.page(session, AnnotationState.ACCEPTED, None, 1)[0]
            session.get_one(Annotation, row.id).state = AnnotationState.SUBMITTED
        page.locator("#live .badge", has_text="3").wait_for(timeout=20_000)
        assert comment.input_value() == "half a sentence"
        assert not wrong


def test_actions_and_news_work_by_keyboard(served: tuple[Browser, str, OpenedWorkspace]) -> None:
    browser, address, workspace = served
    with browser.new_context(**LOOKS[0]) as context:
        page = context.new_page()
        wrong = watch(page, address)
        page.goto(f"{address}/dashboard/rounds/3")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        with workspace.catalog.begin() as session:  # as the training reports it
            row = rounds.get(session, 3)
            assert row is not None
            row.progress = {**row.progress, "epoch": 19}
        page.get_by_text("epoch 19 of 50").wait_for(timeout=20_000)  # without loading the page again

        page.get_by_text("Cancel this round").press("Enter")
        page.get_by_role("button", name="Cancel round 3").press("Enter")
        page.get_by_role("status").wait_for()
        assert "is being cancelled" in page.get_by_role("status").inner_text()
        with workspace.catalog.read() as session:
            row = rounds.get(session, 3)
            assert row is not None and row.job_id is not None and jobs.cancel_requested(session, row.job_id)

        page.goto(f"{address}/dashboard/quality")
        page.get_by_label("Your name").first.fill("rita")
        page.get_by_label("Comment").first.fill("the spleen is cut off")
        page.get_by_role("button", name="Reject").first.press("Enter")
        page.get_by_role("status").wait_for()
        with workspace.catalog.read() as session:
            assert session.query(Review).one().comment == "the spleen is cut off"

        page.goto(f"{address}/dashboard/models/r1")
        page.get_by_text("Promote", exact=True).press("Enter")
        page.get_by_role("button", name="Promote r1").press("Enter")
        page.get_by_role("status").wait_for()
        page.goto(f"{address}/dashboard/models")
        page.get_by_text("Roll back", exact=True).press("Enter")
        page.get_by_role("button", name="Roll back now").press("Enter")
        page.get_by_role("status").wait_for()
        with workspace.catalog.read() as session:
            assert models.current(session).version == "r2"
        page.get_by_label("From").select_option("bootstrap")
        page.get_by_role("button", name="Compare").press("Enter")
        page.get_by_role("heading", name="r2 against bootstrap").wait_for()
        assert not wrong


def test_many_cases_are_changed_by_keyboard(served: tuple[Browser, str, OpenedWorkspace]) -> None:
    browser, address, workspace = served

    def cases(condition: ColumnElement[bool]) -> int:
        with workspace.catalog.read() as session:
            return session.query(Acquisition).filter(condition).count()

    with browser.new_context(**LOOKS[0]) as context:
        page = context.new_page()
        wrong = watch(page, address)

        def act(group: str, button: str, which: str = "", ticks: tuple[int, ...] = (0, 4), **fields: str) -> str:
            for row in () if which else ticks:  # four images each
                page.locator("tbody input[type=checkbox]").nth(row).press("Space")
            page.get_by_label("Which").select_option(which or "the ticked examinations")
            page.locator("details", has_text=group).locator("summary").press("Enter")
            for identifier, value in fields.items():
                field = page.locator(f"#{identifier}")
                field.select_option(value) if identifier == "new_priority" else field.fill(value)
            page.get_by_role("button", name=button, exact=True).press("Enter")
            page.wait_for_url("**/act")
            return page.get_by_role("status").or_(page.get_by_role("alert")).inner_text()

        page.goto(f"{address}/dashboard/examinations?state=waiting")
        assert "2 cases were changed" in act("Set the priority", "Set", new_priority="high")
        assert cases(Acquisition.priority == Priority.HIGH) == 2 and page.locator(".badge.high").count() == 8
        page.goto(f"{address}/dashboard/examinations?priority=high")
        assert "2 cases were changed" in act("Assign to a reader", "Assign", assign_to="dora", days="3")
        page.goto(f"{address}/dashboard/examinations?priority=high")
        assert "2 cases were changed" in act("Return to the queue", "Return")
        page.goto(f"{address}/dashboard/examinations?priority=high")
        assert "2 cases were changed" in act("Exclude", "Exclude", "all 8 on this page", reason="motion")
        assert cases(Acquisition.excluded_reason == "motion") == 2
        page.goto(f"{address}/dashboard/examinations?priority=high")
        assert "2 cases were changed" in act("Include again", "Include", "all 8 that were found")
        assert cases(Acquisition.excluded_reason == "motion") == 0
        page.goto(f"{address}/dashboard/examinations?state=annotated")
        assert "2 cases were changed" in act("Ask for a second reading", "Ask", second_reader="dora")
        with workspace.catalog.read() as session:
            assert session.query(Assignment).filter_by(client="dora", second_reading=True).count() == 2
        assert not wrong
        page.goto(f"{address}/dashboard/examinations")
        assert "choose all that were found" in act("Return to the queue", "Return", ticks=())


def test_the_steps_to_connect_slicer_print_on_one_sheet(served: tuple[Browser, str, OpenedWorkspace]) -> None:
    browser, address, _ = served
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(f"{address}/dashboard/connect")
        sheet = page.pdf(format="A4", prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", sheet)) == 1
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.get_by_role("navigation").is_visible()
