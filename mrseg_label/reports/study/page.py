"""Write a report as one HTML page that needs nothing else: no script, no file beside it, no request to anywhere."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mrseg_label.evaluation.tables import Table
from mrseg_label.reports.study.document import Study


def page_of(study: Study) -> str:
    """Render a report as HTML with its pictures inside."""
    environment = Environment(
        loader=PackageLoader("mrseg_label.reports.study", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(study=study, is_table=_is_table, source=_source, anchor=_anchor)


def _is_table(part: object) -> bool:
    return isinstance(part, Table)


def _source(svg: str) -> str:
    """An address that is the picture itself; inline SVGs of one page would share the ids of their parts."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _anchor(title: str) -> str:
    return "-".join(title.lower().split())
