"""Which examinations of an acquisition carry its mask: the one that it was drawn on, and those that it is propagated to.

A mask is propagated where all of this holds: propagation is on for the acquisition; both images are on the same grid; neither is
misregistered, or suspected to be; and fat and water are in place in the one that gets it. Nothing is copied: what carries a
mask is decided anew from these, so that a propagated mask is withdrawn with its origin, and comes back with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from mrseg_label.catalog.channel_types import Labelled
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Acquisition, Examination

# Of the smallest spacing, at the corner that is farthest off. NIfTI headers store the affine as float32, NRRD headers as decimal
# text of a double: over 20,000 oblique grids of up to 600 voxels the corners of the same grid came to lie up to 0.00025 voxels apart.
SAME_GRID_VOXELS = 0.001

SWAPPED = (
    "fat and water are exchanged, or may be; decide it with: mrseg-label examinations edit ID --swap confirmed|none "
    "(none lets the image into the next round)"
)
OFF = "masks are not propagated within its acquisition; change that with: mrseg-label examinations edit ID --propagation on"
MISREGISTERED = (
    "it lies elsewhere than the other images of its acquisition, or may do so; decide it with: mrseg-label examinations edit ID "
    "--misregistration confirmed|none (none lets masks be propagated)"
)
ORIGIN_MISREGISTERED = (
    "the image that the mask was drawn on lies elsewhere than the others of its acquisition, or may do so; decide it with: "
    "mrseg-label examinations edit {origin} --misregistration confirmed|none"
)


def is_swapped(examination: Examination) -> bool:
    """Whether fat and water are exchanged in an image, or may be: nothing is learned from it, and nothing is measured."""
    return examination.swap is not None and examination.swap.keeps_out


def is_misregistered(examination: Examination) -> bool:
    """Whether an image lies elsewhere than the others of its acquisition, or may do so."""
    return examination.misregistration is not None and examination.misregistration.keeps_out


def without_mask(acquisition: Acquisition, channels: Sequence[Examination], drawn_on: str | None) -> dict[str, str]:
    """Find the images of an acquisition that do not carry a mask of it.

    Parameters
    ----------
    channels : its images.
    drawn_on : id of the image that the mask was drawn on. Where it has left the acquisition, the one that readers open stands for it.

    Returns
    -------
    Reasons, by id of the image.
    """
    by_id = {channel.id: channel for channel in channels}
    origin = by_id.get(drawn_on or "")
    compared = origin or by_id.get(acquisition.primary_examination_id or "")
    reasons = {channel.id: _reason(acquisition, channel, origin, compared) for channel in channels}
    return {identifier: reason for identifier, reason in reasons.items() if reason is not None}


def settle(session: Session, acquisition: Acquisition) -> None:
    """Note at each image of an acquisition whether it carries the present mask; call it where either has changed."""
    session.flush()
    drawn_on = annotation_rows.drawn_on(session, acquisition.id)
    channels = acquisitions.channels(session, acquisition.id)
    without = {} if drawn_on is None else without_mask(acquisition, channels, drawn_on)
    for channel in channels:
        if drawn_on is None or channel.id in without:
            channel.labelled = None
        else:
            channel.labelled = Labelled.DRAWN if channel.id == drawn_on else Labelled.PROPAGATED


def _reason(
    acquisition: Acquisition, channel: Examination, origin: Examination | None, compared: Examination | None
) -> str | None:
    """Why an image does not carry a mask; None where it does."""
    if is_swapped(channel):
        return SWAPPED
    if origin is not None and channel.id == origin.id:
        return None
    if not acquisition.propagates:
        return OFF
    if is_misregistered(channel):
        return MISREGISTERED
    if compared is None or channel.id == compared.id:
        return None
    if is_misregistered(compared):
        return ORIGIN_MISREGISTERED.format(origin=compared.id)
    from mrseg_label.imaging.geometry import Geometry  # NumPy and NiBabel are behind it, and most reviews need neither

    difference = Geometry.from_json(channel.geometry).difference(
        Geometry.from_json(compared.geometry), SAME_GRID_VOXELS
    )
    return None if difference is None else f"its grid is not that of the image that the mask was drawn on: {difference}"
