"""AMOS22: folders as those of nnU-Net, but also ``imagesVa`` and ``labelsVa``, and label names that are no names of ours.

13 of its 15 labels are structures of the default scheme, listed in its column ``amos22_id``. The urinary bladder is left
out as in the paper, and so is the prostate or uterus, which is one label of two organs.

References
----------
Ji Y, et al. AMOS: a large-scale abdominal multi-organ benchmark for versatile medical image segmentation. NeurIPS 2022.
doi 10.48550/arXiv.2206.08023; data set: doi 10.5281/zenodo.7155725.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from mrseg_label.intake.files.participants import ParticipantRow
from mrseg_label.intake.images import MaskLabels
from mrseg_label.labels import LabelScheme

LABEL_SET = "amos22"
LABELLED = ("labelsTr", "labelsVa")
_CODE = re.compile(r"amos_(\d{4})")
_LAST_CT = 500  # CT up to this number, MR behind it


def is_amos(labels: object) -> bool:
    """Whether the ``labels`` of a ``dataset.json`` are those of AMOS22, by the two names that no other data set has."""
    if not isinstance(labels, Mapping):
        return False
    names = {str(value).casefold() for value in (*labels.keys(), *labels.values())}
    return {"postcava", "prostate/uterus"} <= names


def labels_of(scheme: LabelScheme, labels: Mapping[str, object]) -> MaskLabels:
    """Name the values of AMOS22's masks: by the structures of the scheme, and by AMOS22's own names what the scheme lacks."""
    ours = {ids[0]: name for name, ids in scheme.ids_in(LABEL_SET).items()}
    theirs = {int(value): str(name) for value, name in labels.items() if str(value).isdigit()}
    if not theirs:  # names before values, as nnU-Net writes them since version 2
        theirs = {int(str(value)): name for name, value in labels.items()}
    if not ours:  # a scheme that knows nothing of AMOS22: by the names as they are
        return [(value, name) for value, name in sorted(theirs.items()) if value]
    # An own name, so that a label which the scheme leaves out on purpose does not come in by what it is called.
    return [(value, ours.get(value, f"AMOS22 {name}")) for value, name in sorted(theirs.items()) if value]


def sequence_of(case: str) -> str:
    """Return the sequence of a case, which its number tells: CT, or an MR of which nothing is stated."""
    match = _CODE.fullmatch(case)
    return "ct" if match and int(match[1]) <= _LAST_CT else ""


def with_codes(rows: Mapping[str, ParticipantRow]) -> dict[str, ParticipantRow]:
    """Write the numbers in AMOS22's tables as the names of its cases: ``7`` as ``amos_0007``."""
    codes = {code: f"amos_{int(code):04d}" if code.isdigit() else code for code in rows}
    return {codes[code]: replace(row, code=codes[code]) for code, row in rows.items()}
