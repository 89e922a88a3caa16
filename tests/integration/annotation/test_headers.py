"""Whatever is written into a header: the file is decoded, or refused with a message; nothing else happens."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import decode
from tests.integration.annotation.test_refusals import FIVE, HEAD, NAMES, mha_text, nifti, nrrd_text, seg
from tests.support.annotation_house import GRID, draft_array

SCHEME = LabelScheme.default()
BODY = draft_array().tobytes(order="F")
MAKERS = {
    ".nii": nifti(suffix=".nii"),
    ".seg.nrrd": seg(FIVE),
    ".nrrd": nrrd_text(*HEAD, "encoding: raw", data=BODY),
    ".mha": mha_text(CompressedData="False", ElementNumberOfChannels="1"),
}
NUMBERS = ["nan", "inf", "-inf", "-1", "0", "1e400", "1e30", "3.5", "99999999999999999999"]
WORDS = [*NUMBERS, "", "x", "()", "(1,2)", "none", "\0", "\xff", "1 2", "True"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {suffix: make(folder) for suffix, make in MAKERS.items()}


def taken(folder: Path, suffix: str, content: bytes) -> bool:
    """Whether a file is decoded; any error but a refusal is raised."""
    path = folder / f"upload{suffix}"
    path.write_bytes(content)
    try:
        decode(SCHEME, GRID, path, NAMES)
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize("suffix", MAKERS)
def test_the_files_are_good_before_they_are_changed(whole: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    assert taken(tmp_path, suffix, whole[suffix])


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".nrrd", ".seg.nrrd", ".mha"]),
    edits=st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(0, 8), st.sampled_from(WORDS), st.sampled_from(["value", "word", "line"])
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_words_in_a_text_header(
    whole: dict[str, bytes], tmp_path: Path, suffix: str, edits: list[tuple[int, int, str, str]]
) -> None:
    content = whole[suffix]
    end = content.index(b"LOCAL") if suffix == ".mha" else content.index(b"\n\n")
    lines = content[:end].split(b"\n")
    for at, place, word, what in edits:
        at %= len(lines)
        line, new = lines[at], word.encode("latin-1")
        if what == "line" and len(lines) > 1:
            lines[at : at + 1] = [] if place % 2 else [line, line]
        elif what == "value":
            key, equals, _ = line.partition(b"=" if b"=" in line else b":")
            lines[at] = key + equals + b" " + new
        else:
            parts = line.split(b" ")
            parts[place % len(parts)] = new
            lines[at] = b" ".join(parts)
    taken(tmp_path, suffix, b"\n".join(lines) + content[end:])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    compressed=st.booleans(),
    edits=st.dictionaries(
        st.integers(0, 351), st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255), min_size=1, max_size=4
    ),
)
def test_bytes_in_a_nifti_header(
    whole: dict[str, bytes], tmp_path: Path, compressed: bool, edits: dict[int, int]
) -> None:
    content = bytearray(whole[".nii"])
    for at, value in edits.items():
        content[at] = value
    written = bytes(content)
    if compressed:
        taken(tmp_path, ".nii.gz", gzip.compress(written))
    else:
        taken(tmp_path, ".nii", written)
