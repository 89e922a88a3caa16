"""Images in which fat and water are exchanged, or may be: nothing is learned from them, and nothing is measured."""

from __future__ import annotations

from mrseg_label.catalog.tables import Examination

SWAPPED = (
    "fat and water are exchanged, or may be; decide it with: mrseg-label examinations edit ID --swap confirmed|none "
    "(none lets the image into the next round)"
)


def is_kept_out(examination: Examination) -> bool:
    """Whether an image stays out of training and evaluation."""
    return examination.swap is not None and examination.swap.keeps_out
