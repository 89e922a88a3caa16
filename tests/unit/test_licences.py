"""What the text of a licence says about training from weights."""

from __future__ import annotations

import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.licences import Terms, check_licence, inherited, terms_of


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        (None, Terms.UNKNOWN),
        ("  ", Terms.UNKNOWN),
        ("Apache-2.0", Terms.OPEN),
        ("CC BY 4.0", Terms.OPEN),
        ("BSD-3-Clause", Terms.OPEN),
        ("CC BY-NC 4.0", Terms.CONDITIONS),
        ("CC-BY-NC-SA-2.0", Terms.CONDITIONS),
        ("for non-commercial use", Terms.CONDITIONS),
        ("AGPL-3.0", Terms.CONDITIONS),
        ("CC BY-ND 4.0", Terms.FORBIDDEN),
        ("CC-BY-NC-ND 4.0", Terms.FORBIDDEN),
        ("Creative Commons Attribution-NoDerivatives", Terms.FORBIDDEN),
        ("All Rights Reserved", Terms.FORBIDDEN),
        ("proprietary", Terms.FORBIDDEN),
        ("may not be used for training", Terms.FORBIDDEN),
    ],
)
def test_terms(licence: str | None, terms: Terms) -> None:
    assert terms_of(licence) is terms


@pytest.mark.parametrize("text", ["", " ", "x" * 201, "MIT\nand more", "a\x00b"])
def test_a_text_that_is_no_licence(text: str) -> None:
    with pytest.raises(InvalidInput, match="one line of 1 to 200 characters"):
        check_licence(text)


def test_licences_are_inherited_once() -> None:
    assert check_licence(" MIT ") == "MIT"
    assert inherited("MIT", ["Apache-2.0", "MIT"]) == ["MIT", "Apache-2.0"]
    assert inherited(None, []) == []
