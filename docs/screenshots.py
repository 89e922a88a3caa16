"""Take the documentation's pictures of the dashboard anew: uv run python docs/screenshots.py

They show the pages as Chromium (`apt-get install chromium`) renders them, for a study whose rows tests/support/study_rows.py makes. Images
and masks are those of the phantom in sample-data/. No data of a person are in them.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

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
    ("dashboard-slices", "/dashboard/examinations/SAMPLE/slices", WIDE, "light"),
)


def main() -> None:
    """Take every picture."""
    with (
        tempfile.TemporaryDirectory() as folder,
        study(Path(folder)) as workspace,
        serve_in_thread(workspace) as address,
        chromium() as browser,
    ):
        sample = give_sample(workspace, "R001")
        for name, page, (width, height), scheme in PICTURES:
            with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
                tab = context.new_page()
                tab.goto(address + page.replace("SAMPLE", sample))
                if "/view" in page:
                    tab.get_by_role("button", name="Next").click(timeout=60_000)  # enabled when all is loaded
                    tab.wait_for_timeout(1000)
                taken = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            if "SAMPLE" not in page:  # pictures of a body keep all their greys
                taken = taken.quantize(COLORS)
            taken.save(IMAGES / f"{name}.png", optimize=True)
            print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
