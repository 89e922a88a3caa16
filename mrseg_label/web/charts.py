"""Charts to be saved: SVG, PNG or CSV, by the name and ending in their address."""

from __future__ import annotations

from starlette.responses import Response

from mrseg_label.errors import NotFound
from mrseg_label.reports.charts.layout import Chart
from mrseg_label.reports.charts.saved import COLORS, DASHES, to_csv, to_png
from mrseg_label.web.pages import render

ENDINGS = ("svg", "png", "csv")


def split_name(file: str) -> tuple[str, str]:
    """Split the name of a chart's file into the chart and the ending.

    Raises
    ------
    NotFound
        No chart is saved in this way.
    """
    name, _, ending = file.rpartition(".")
    if ending not in ENDINGS:
        raise NotFound(f"there is no chart {file[:60]!r}; its name ends with .{', .'.join(ENDINGS)}")
    return name, ending


def send_chart(chart: Chart | None, name: str, ending: str) -> Response:
    """Send a chart as a file.

    Raises
    ------
    NotFound
        There is no such chart, or nothing was measured yet that it could show.
    """
    if chart is None:
        raise NotFound(f"there is no chart {name[:60]!r}, or it has no value yet")
    headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
    if ending == "svg":
        return Response(
            render("chart.svg", chart=chart, colors=COLORS, dashes=DASHES), media_type="image/svg+xml", headers=headers
        )
    if ending == "png":
        return Response(to_png(chart), media_type="image/png", headers=headers)
    return Response(to_csv(chart).encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)
