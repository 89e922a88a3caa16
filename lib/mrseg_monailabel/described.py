"""What the datastore tells of images, drafts and corrections, as MONAI Label's clients read it."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import DefaultLabelTag

from mrseg_label.catalog.tables import Annotation, Examination, Presegmentation
from mrseg_label.clock import iso

ORIGINAL = DefaultLabelTag.ORIGINAL.value  # the pre-segmentation
FINAL = DefaultLabelTag.FINAL.value  # the newest accepted revision
SUFFIX = ".nii.gz"


def described(
    examination: Examination,
    presegmentation: Presegmentation | None,
    final: Annotation | None,
    label_names: dict[str, int],
) -> dict[str, Any]:
    """A case as the listing of the datastore has it."""
    labels: dict[str, Any] = {}
    if presegmentation is not None:
        labels[ORIGINAL] = {"ext": SUFFIX, "info": presegmentation_info(presegmentation, label_names)}
    if final is not None:
        labels[FINAL] = {"ext": SUFFIX, "info": annotation_info(final, label_names)}
    return {"image": {"ext": SUFFIX, "info": image_info(examination)}, "labels": labels}


def image_info(examination: Examination) -> dict[str, Any]:
    """What a client may know of an image."""
    return {
        "id": examination.id,
        "name": file_name_of(examination),
        "checksum": f"SHA256:{examination.digest}",
        "sequence": examination.sequence,
        "station": examination.acquisition.station,
        "created": iso(examination.created_at),
    }


def presegmentation_info(presegmentation: Presegmentation, label_names: dict[str, int]) -> dict[str, Any]:
    """What a client may know of a draft; ``params.label_names`` is always the whole scheme."""
    return {
        "created": iso(presegmentation.created_at),
        "model": presegmentation.model_version,
        "source": presegmentation.source,
        "checksum": f"SHA256:{presegmentation.digest}",
        "params": {"label_names": label_names},
    }


def annotation_info(annotation: Annotation, label_names: dict[str, int]) -> dict[str, Any]:
    """What a client may know of a correction; ``params.label_names`` is always the whole scheme."""
    return {
        "created": iso(annotation.created_at),
        "revision": annotation.number,
        "author": annotation.author,
        "model": annotation.model_version,
        "checksum": f"SHA256:{annotation.digest}",
        "params": {"label_names": label_names},
    }


def file_name_of(examination: Examination) -> str:
    """The name under which a client gets an image: unique, since Slicer may reuse a download of the same name."""
    return f"{examination.id}{SUFFIX}"
