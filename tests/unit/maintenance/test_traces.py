"""What stands for a deleted participant is found in texts, JSON and logs, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.maintenance.deletion.finding import read_list
from mrseg_label.maintenance.deletion.traces import REMOVED, Traces

TRACES = Traces(
    ids=frozenset({"ex-0123456789abcdef", "a" * 64}),
    names=frozenset({"1000017", "Müller 1/a", "7", "/data/ukb/1000017_20201.zip"}),
    kept=frozenset({"siteB/1000017"}),
)


@pytest.mark.parametrize(
    "mention",
    [
        "the draft of ex-0123456789abcdef is doubtful",
        "/images/ex-0123456789abcdef.nii.gz",
        f"SHA-256 {'a' * 64}, not",
        "1000017_20201_2_0.zip",
        "GET /api?participant=1000017&x",
        "participant=M%C3%BCller%201%2Fa",
        '{"code": "M\\u00fcller 1/a"}',
        "Mu\u0308ller 1/a",
        "participant 7 has no image",
        "siteB/1000017 and 1000017",
    ],
)
def test_mentions_are_found(mention: str) -> None:
    assert TRACES.in_text(mention)
    assert TRACES.clean_text(f"before\n{mention}\nafter\n") == f"before\n{REMOVED}\nafter\n"
    log = f"before\n{mention}\nafter".encode()
    blanked = TRACES.blank_lines(log)
    assert len(blanked) == len(log) and blanked.startswith(b"before\n[remo") and blanked.endswith(b"\nafter")
    assert not TRACES.in_text(blanked.decode()) and not TRACES.in_text(TRACES.blank_words(log).decode())


@pytest.mark.parametrize(
    "other",
    [
        "ex-0123456789abcdee",
        "21000017 voxels in 10000171 ms",
        "7 of 70 voxels, epoch 7",
        "siteB/1000017 was imported",
        "a" * 65,
        "",
    ],
)
def test_others_are_left_alone(other: str) -> None:
    assert not TRACES.in_text(other) and TRACES.clean_text(other) == other
    assert TRACES.blank_lines(other.encode()) == TRACES.blank_words(other.encode()) == other.encode()


def test_json_keeps_its_form() -> None:
    value = {
        "ids": ["ex-0123456789abcdef", "ex-kept"],
        "ex-0123456789abcdef": {"dsc": 0.5},
        "participant": "7",
        "count": "7",
        "siteB/1000017": 7,
        "nested": {"error": "no voxels in 1000017\nthe disk is full", "n": 1000017},
    }
    assert TRACES.clean_json(value) == {
        "ids": ["ex-kept"],
        "count": "7",
        "siteB/1000017": 7,
        "nested": {"error": f"{REMOVED}\nthe disk is full", "n": 1000017},
    }
    assert TRACES.clean_json("ex-0123456789abcdef") == "" and TRACES.clean_json(None) is None
    assert Traces.from_json(TRACES.to_json()) == TRACES


@pytest.mark.parametrize(
    "content",
    ["1000017\n1000025\n", "eid\n1000017\n\n1000025\n1000017\n", "\ufeffparticipant,date\n1000017,2026\n1000025,\n", "# withdrawn\n1000017\t1\n1000025\t2\n"],
)  # fmt: skip
def test_lists_of_participants(content: str, tmp_path: Path) -> None:
    (tmp_path / "w1234_20261127.csv").write_text(content, encoding="utf-8")
    assert read_list(tmp_path / "w1234_20261127.csv") == ["1000017", "1000025"]


def test_a_list_without_participants_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("eid\n")
    with pytest.raises(InvalidInput, match="has no participants"):
        read_list(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_list(tmp_path / "list.csv")
