"""Take the pictures of a study's report anew: uv run python docs/study_pictures.py WORKSPACE

The workspace is that of a demo (mrseg-label demo --workspace WORKSPACE), whose images are phantoms. Chromium renders the report that
mrseg-label report makes of its versions r1 and r2.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mrseg_label.catalog.opening import open_workspace  # noqa: E402
from mrseg_label.reports.stored_report import STUDY_REPORT  # noqa: E402
from mrseg_label.reports.study.workspace import report_versions  # noqa: E402
from tests.support.chromium import chromium  # noqa: E402

IMAGES = ROOT / "docs" / "images"
# File, part of the page, the share of its height that is shown from above.
PICTURES = (
    ("study-example", "#figure-1-example-2 img", 1.0),
    ("study-structures", "#figure-2-structures img", 0.5),
)
COLORS = 256


def main(folder: Path) -> None:
    """Report on the demo's versions, and take the pictures."""
    workspace = open_workspace(folder)
    try:
        report_versions(workspace, ["r1", "r2"], title="Two rounds of the demo")
        page = workspace.path(STUDY_REPORT)
    finally:
        workspace.close()
    with chromium() as browser:
        shown = browser.new_page(viewport={"width": 1100, "height": 900})
        shown.goto(page.as_uri())
        for name, part, share in PICTURES:
            picture = Image.open(io.BytesIO(shown.locator(part).screenshot()))
            cut = picture.convert("RGB").crop((0, 0, picture.width, round(share * picture.height)))
            cut.quantize(COLORS).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
