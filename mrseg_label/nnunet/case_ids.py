"""Names of cases in nnU-Net's folders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mrseg_label.errors import InvalidInput

# nnU-Net takes "<case>_seg" for the label map of "<case>", and a case of that name would be lost.
_CASE = re.compile(r"(?!.*_seg$)[A-Za-z0-9][A-Za-z0-9_-]{0,120}")


def check_case_ids(case_ids: Iterable[str]) -> None:
    """Raise :class:`InvalidInput` if nnU-Net could not tell cases apart by these ids."""
    seen: set[str] = set()
    for case_id in case_ids:
        if not _CASE.fullmatch(case_id):
            raise InvalidInput(
                f"case id {case_id!r} must consist of letters, digits, _ and -, and must not end in _seg, "
                "which nnU-Net reserves for label maps"
            )
        if case_id.casefold() in seen:
            raise InvalidInput(f"case id {case_id!r} occurs twice; give each case an id of its own")
        seen.add(case_id.casefold())
