"""Reviews in the words of MONAI Label's extension MONAILabelReviewer: tags, ``segmentationMeta``, cases to review.

The extension is told nothing but the server's address, and says nothing of itself but the library that it is made
with. It loads every label of a case under the one file name in ``labels.final.info.name``, and reads each field of
``segmentationMeta`` and of ``info`` as text or a number, never as null.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from mrseg_label.annotation.remarks import Fields
from mrseg_label.catalog.queries.reviewing import FINAL as FINAL_NUMBER
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH
from mrseg_label.errors import InvalidInput
from mrseg_label.reports.reviewing import ReviewCase
from mrseg_monailabel.descriptions import FINAL, ORIGINAL, SUFFIX, describe_annotation, describe_image
from mrseg_monailabel.mask_files import SEGMENTS

NEIGHBOURS = "neighbours"
META = "segmentationMeta"
MAX_WORD = 100  # characters of a status or a level
_VERSION = re.compile(r"version_([1-9][0-9]{0,5})")
_EXTENSION = "python-requests/"  # how the extension's User-Agent begins
_LAST_SECOND = 253402300799  # of the year 9999
_LINE_ENDS = "\n\r\t"


def parse_tag(tag: str) -> int | None:
    """Return the number of a tag: None for ``original``, 0 for ``final``, N for ``version_N``.

    Raises
    ------
    InvalidInput
        It is another.
    """
    if tag == ORIGINAL:
        return None
    if tag == FINAL:
        return FINAL_NUMBER
    found = _VERSION.fullmatch(tag)
    if found is None:
        raise InvalidInput(
            f"the tag of a label is {ORIGINAL!r} (the draft), {FINAL!r} (the annotation), {NEIGHBOURS!r} (annotations of "
            f"neighbouring stations, to download) or 'version_N' (what a reviewer saved, N from 1), not {tag!r:.80}"
        )
    return int(found[1])


def parse_annotation_tag(tag: str) -> int:
    """Return the number of a tag of annotations. Raises :class:`InvalidInput` for any other."""
    number = parse_tag(tag)
    if number is None:
        raise InvalidInput(f"{tag!r} is the draft, which comes from the server; name {FINAL!r} or 'version_N'")
    return number


def name_tag(number: int) -> str:
    """Return the tag of a number; the reverse of :func:`parse_annotation_tag`."""
    return FINAL if number == FINAL_NUMBER else f"version_{number}"


def label_suffix(user_agent: str) -> str:
    """Return the format in which a client without sign-in gets labels.

    The extension loads them as segmentations, to which only Slicer's own format gives names; what it saves is decoded
    by these names. Others get the stored NIfTI file.
    """
    return SEGMENTS if user_agent.startswith(_EXTENSION) else SUFFIX


def label_name(examination_id: str, suffix: str) -> str:
    """Return the file name under which the extension keeps a label while it loads it."""
    return f"{examination_id}-label{suffix}"


def describe_review_case(case: ReviewCase, label_names: dict[str, int], suffix: str) -> dict[str, Any]:
    """Describe a case as an object of the datastore's listing.

    The order of the tags matters: the extension numbers a new version after the last one.
    """
    image = describe_image(case.examination)
    final = case.labels[0].annotation
    started = {"ts": int(final.created_at.timestamp()), "client_id": final.author}
    labels = {
        name_tag(label.tag): {
            "ext": suffix,
            "info": describe_annotation(label.annotation, label_names)
            | {"name": label_name(case.examination.id, suffix), META: describe_fields(label.fields)},
        }
        for label in case.labels
    }
    return {"image": {"ext": SUFFIX, "info": image | {"strategy": {"annotate": started}}}, "labels": labels}


def describe_fields(fields: Fields) -> dict[str, Any]:
    """Describe what was decided and noted as ``segmentationMeta``."""
    return {
        "status": fields.status,
        "level": fields.level,
        "approvedBy": fields.approved_by,
        "comment": fields.comment,
        "editTime": fields.edited_at or 0,
    }


def read_fields(params: dict[str, Any], *, required: bool = True) -> Fields:
    """Read ``segmentationMeta`` of a request's params; what is missing stays as it was.

    Raises
    ------
    InvalidInput
        It is missing though required, or a field has an impossible value.
    """
    meta = params.get(META)
    if meta is None and not required:
        return Fields()
    if not isinstance(meta, dict):
        kind = "missing" if meta is None else f"not an object but {type(meta).__name__}"
        raise InvalidInput(f"params.{META} is {kind}; send an object with status, level, approvedBy, comment, editTime")
    return Fields(
        status=_text(meta, "status", MAX_WORD),
        level=_text(meta, "level", MAX_WORD),
        approved_by=_text(meta, "approvedBy", MAX_CLIENT_LENGTH),
        comment=_text(meta, "comment", None),
        edited_at=_seconds(meta),
    )


def _text(meta: dict[str, Any], key: str, longest: int | None) -> str:
    value = meta.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not (_is_prose(value) if longest is None else value.isprintable()):
        raise InvalidInput(f"params.{META}.{key} must be printable text, not {value!r:.80}")
    if longest is not None and len(value) > longest:
        raise InvalidInput(f"params.{META}.{key} has {len(value):,} characters; at most {longest} are allowed")
    return value.strip()


def _is_prose(text: str) -> bool:
    """Whether a text of several lines has no control characters and can be stored."""
    return all(character in _LINE_ENDS or unicodedata.category(character) not in ("Cc", "Cs") for character in text)


def _seconds(meta: dict[str, Any]) -> int | None:
    value = meta.get("editTime")
    if value is None or value == "":
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LAST_SECOND:
        raise InvalidInput(f"params.{META}.editTime must be seconds since 1970, not {value!r:.80}")
    return int(value)
