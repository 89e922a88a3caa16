"""Label lists of masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.intake.masks.label_lists import read_label_list


def test_label_maps(tmp_path: Path) -> None:
    def read(name: str, text: str) -> list[tuple[int, str]]:
        (tmp_path / name).write_text(text)
        return read_label_list(tmp_path / name)

    wanted = [(1, "spleen"), (5, "liver")]
    assert read("dataset.json", json.dumps({"labels": {"background": 0, "liver": 5, "spleen": 1}})) == wanted
    assert read("v1.json", json.dumps({"labels": {"0": "background", "1": "spleen", "5": "liver"}})) == wanted
    assert read("a.tsv", "name\tid\nliver\t5\nspleen\t1\n") == wanted
    assert read("b.csv", "1,spleen\n5,liver\n") == wanted
    for name, text in (
        ("regions.json", json.dumps({"labels": {"background": 0, "whole": [1, 2]}})),
        ("none.json", "{}"),
        ("twice.tsv", "id\tname\n1\ta\n1\tb\n"),
        ("words.tsv", "id\tname\nx\ta\n"),
    ):
        with pytest.raises((LabelError, InvalidInput)):
            read(name, text)
