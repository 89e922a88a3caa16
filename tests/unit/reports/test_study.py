"""The report of a study: every form says the same, and the page needs nothing else."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from mrseg_label.errors import InvalidInput
from mrseg_label.evaluation import descriptions
from mrseg_label.evaluation.measurements import read_table, read_tables, write_table
from mrseg_label.reports.study.document import Study, build_study
from mrseg_label.reports.study.figures import boxes_per_sequence
from mrseg_label.reports.study.markdown import latex_table, markdown_table
from mrseg_label.reports.study.writing import Form, forms_of, write_study
from tests.support.chromium import chromium
from tests.unit.evaluation.test_statistics import study as measured


@pytest.fixture(scope="module")
def study() -> Study:
    return build_study(measured(("r1", "r<2> & co_x")), title="A <study>")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_asks_nobody_for_anything(study: Study, tmp_path: Path) -> None:
    (page,) = write_study(study, tmp_path / "out", [Form.HTML])
    text = page.read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    assert links.scripts == 0
    assert links.found
    assert {link.split(":")[0] if link[0] != "#" else "#" for link in links.found} == {"data", "#"}
    assert not re.search(r"@import|url\(", text)
    assert "A &lt;study&gt;" in text
    assert "r&lt;2&gt; &amp; co_x" in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html"]


def test_all_forms_have_every_table_and_figure(study: Study, tmp_path: Path) -> None:
    written = write_study(study, tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    for table in study.tables:
        assert {f"tables/{table.key}.csv", f"tables/{table.key}.tex"} <= names
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for figure in study.figures:
        assert f"figures/{figure.key}.svg" in names
        assert f"](figures/{figure.key}.svg)" in markdown
        assert figure.svg.lstrip().startswith("<?xml")
    keys = [*(table.key for table in study.tables), *(figure.key for figure in study.figures)]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[\w.+-]+", key) for key in keys)
    with (tmp_path / "tables" / "table-3-sequences.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert_allclose(
        [float(row["dsc_samples_mean"]) for row in rows], descriptions.by_sequence(study.table).frame["dsc_samples_mean"], rtol=1e-5
    )  # fmt: skip
    assert len(read_table(tmp_path / "cases.csv")) == len(study.table)


def test_propagated_references_are_in_every_form(study: Study, tmp_path: Path) -> None:
    frame = measured()
    water = frame["sequence"] == "water"
    frame.loc[water, "propagated_from"] = frame.loc[water, "case"].str.replace("_water", "_in")
    write_study(build_study(frame), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "The references of 12 of 24 images were propagated" in text
        assert "The images have 12 different references" in text
    latex = (tmp_path / "tables" / "table-3-sequences.tex").read_text(encoding="utf-8")
    assert "Propagated" in latex
    assert (read_table(tmp_path / "cases.csv")["propagated_from"] != "").sum() == 36
    for name in ("table-a1-structures", "table-a2-outcomes"):
        with (tmp_path / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
            spleen = next(row for row in csv.DictReader(file) if row["structure"] == "spleen")
        assert sum(int(value) for key, value in spleen.items() if key.endswith("propagated")) == 12, name
    assert not any("ropagated" in one.heading for table in study.tables for one in table.columns)  # none is


def test_what_cannot_be_tested_is_left_out() -> None:
    frame = measured().assign(sex="", age=float("nan"), nsd=float("nan"))
    study = build_study(frame)
    assert [section.title for section in study.sections] == [
        "Participants and images",
        "Quality by sequence",
        "Quality by structure",
    ]
    with pytest.raises(InvalidInput, match="no case"):
        build_study(frame.head(0))


def test_the_same_measurements_make_the_same_pictures(study: Study) -> None:
    stored = next(figure for figure in study.figures if figure.key == "figure-3-sequences")
    assert boxes_per_sequence(study.table).svg == stored.svg


def test_latex_and_markdown_escape(study: Study) -> None:
    table = descriptions.by_sequence(study.table)
    latex = latex_table(table)
    assert r"r$<$2$>$ \& co\_x" in latex
    assert r"$\pm$" in latex
    assert r"\toprule" in latex
    assert "_x" not in latex.replace(r"\_x", "")
    lines = markdown_table(table).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(table.frame)


def test_several_tables_are_models_side_by_side(tmp_path: Path) -> None:
    for name in ("old", "new"):
        write_table(measured(("",)), tmp_path / f"{name}.csv")
    table = read_tables([tmp_path / "old.csv", tmp_path / "new.csv"])
    assert table["model"].unique().tolist() == ["old", "new"]
    with pytest.raises(InvalidInput, match="no table of cases"):
        read_tables([])


def test_forms() -> None:
    assert forms_of("md, HTML,md") == (Form.MARKDOWN, Form.HTML)
    for text in ("pdf", ","):
        with pytest.raises(InvalidInput, match="html, md, csv, latex"):
            forms_of(text)


@pytest.mark.soak
def test_chromium_shows_the_page_without_a_complaint_and_without_a_request(study: Study, tmp_path: Path) -> None:
    (page,) = write_study(study, tmp_path, [Form.HTML])
    said: list[str] = []
    asked: list[str] = []
    with chromium() as browser:
        shown = browser.new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(page.as_uri())
        widths = shown.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
        overflow = shown.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert len(widths) == len(study.figures)
    assert min(widths) > 100
    assert overflow <= 0
