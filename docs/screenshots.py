"""Take the documentation's pictures of the dashboard anew: uv run python docs/screenshots.py [NAME ...]

They show the pages as Chromium (`apt-get install chromium`) renders them, for a study whose rows tests/support/study_rows.py makes. Images
and masks are those of the phantom in sample-data/. No data of a person are in them.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mrseg_label.annotation import review  # noqa: E402
from mrseg_label.catalog.opening import OpenedWorkspace  # noqa: E402
from mrseg_label.catalog.queries import annotations  # noqa: E402
from mrseg_label.catalog.queries.examinations import ExaminationFilter  # noqa: E402
from mrseg_label.catalog.reader import Reader  # noqa: E402
from mrseg_label.catalog.types import AnnotationState, CaseState  # noqa: E402
from mrseg_label.reports.examinations import find_cases  # noqa: E402
from mrseg_label.worklist.many_cases import assign_cases  # noqa: E402
from mrseg_label.worklist.requests import Purpose, request_case  # noqa: E402
from tests.support.chromium import chromium, serve_in_thread  # noqa: E402
from tests.support.study_rows import study  # noqa: E402
from tests.support.viewed_case import give_sample  # noqa: E402

IMAGES = ROOT / "docs" / "images"
WIDE, NARROW = (1280, 860), (400, 780)
COLORS = 256  # enough for flat pages; keeps each file below 100 kB
# File, page, size, colours.
PICTURES = (
    ("dashboard-overview", "/dashboard", WIDE, "light"),
    ("dashboard-overview-dark", "/dashboard", WIDE, "dark"),
    ("dashboard-overview-narrow", "/dashboard", NARROW, "light"),
    ("dashboard-comparison", "/dashboard/models/r1/compare/r2", WIDE, "light"),
    ("dashboard-round", "/dashboard/rounds/3", WIDE, "light"),
    ("dashboard-connect", "/dashboard/connect", WIDE, "light"),
    ("dashboard-examination", "/dashboard/examinations/SAMPLE", WIDE, "light"),
    ("dashboard-viewer", "/dashboard/examinations/SAMPLE/view", WIDE, "dark"),
    ("dashboard-differences", "/dashboard/examinations/SAMPLE/view?shown=differences", WIDE, "light"),
    ("dashboard-examinations", "/dashboard/examinations?station=pelvis&state=waiting", WIDE, "light"),
    ("dashboard-quality", "/dashboard/quality#suspicious", WIDE, "light"),
    ("dashboard-import", "/dashboard/import", WIDE, "light"),
    ("dashboard-model-import", "/dashboard/models#import", WIDE, "light"),
    ("dashboard-slices", "/dashboard/examinations/SAMPLE/slices", WIDE, "light"),
    ("dashboard-mine", "/dashboard/mine?client=ada", WIDE, "light"),  # last, since ada is given work for it
)
# What is ticked and opened before a picture is taken.
PREPARED = {
    "dashboard-examinations": """
        document.querySelectorAll("tbody input[type=checkbox]").forEach((box, row) => { box.checked = row % 4 === 0; });
        [...document.querySelectorAll("details.action")][0].open = true;
        document.getElementById("assign_to").value = "dora";
        document.querySelector(".bulk").scrollIntoView({block: "end"});
    """,
    "dashboard-quality": 'document.querySelector("#suspicious").scrollIntoView()',
    "dashboard-model-import": 'document.querySelector("#import").scrollIntoView({block: "center"})',
}


def give_work(workspace: OpenedWorkspace) -> None:
    """Give the reader ada two open cases, and send an annotation back to her."""
    with workspace.catalog.read() as session:
        (sent,) = annotations.page(session, AnnotationState.SUBMITTED, "ada", 1)
    waiting = find_cases(workspace.catalog, ExaminationFilter(station="thorax", state=CaseState.WAITING))
    request_case(workspace, Reader("ada"), Purpose.CORRECT, waiting[0])
    assign_cases(workspace.catalog, waiting[1:2], Reader("ada"), actor="chief")
    review.reject(workspace.catalog, sent.id, reviewer="rita", comment="The spleen is cut off below the hilum.")


def main(wanted: Sequence[str]) -> None:
    """Take every picture, or those that are named."""
    with (
        tempfile.TemporaryDirectory() as folder,
        study(Path(folder)) as workspace,
        serve_in_thread(workspace) as address,
        chromium() as browser,
    ):
        sample = give_sample(workspace, "R001")
        for name, page, (width, height), scheme in PICTURES:
            if wanted and name not in wanted:
                continue
            if name == "dashboard-mine":
                give_work(workspace)
            with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
                tab = context.new_page()
                tab.goto(address + page.replace("SAMPLE", sample))
                if "/view" in page:
                    tab.get_by_role("button", name="Next").click(timeout=60_000)  # enabled when all is loaded
                    tab.wait_for_timeout(1000)
                tab.evaluate(PREPARED.get(name, ""))
                taken = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            if "SAMPLE" not in page:  # pictures of a body keep all their greys
                taken = taken.quantize(COLORS)
            taken.save(IMAGES / f"{name}.png", optimize=True)
            print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
