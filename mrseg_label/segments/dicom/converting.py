"""Convert DICOM masks to ``.seg.nrrd``, the form in which masks are checked and stored: nothing in it identifies a patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.files import Segmentation

DICOM_SUFFIX = ".dcm"
_RAS_TO_LPS = np.diag((-1.0, -1.0, 1.0))
_HEAD = 132


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM with the usual preamble, under any name."""
    with path.open("rb") as stream:
        return stream.read(_HEAD)[128:] == b"DICM"


def convert(
    masks: Sequence[bytes], image: Geometry, scheme: LabelScheme, target: Path, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[str, ...]:
    """Convert the DICOM segmentations and structure sets of one image to one ``.seg.nrrd`` file.

    Parameters
    ----------
    masks : the files; segments of later ones come behind those of earlier ones.
    target : the file that is written: the same for the same masks.

    Returns
    -------
    What a person should know about the conversion.

    Raises
    ------
    GeometryError, LabelError, InvalidInput, TooLarge
        As :func:`mrseg_label.segments.dicom.reading.read_dicom_mask`.
    """
    # pydicom is behind it, which a server needs only for DICOM.
    from mrseg_label.segments.dicom.layers import Layers
    from mrseg_label.segments.dicom.reading import read_dicom_mask

    if len(masks) == 1:
        merged = read_dicom_mask(masks[0], image, scheme, max_bytes)
    else:
        layers = Layers(image)
        for data in masks:
            part = read_dicom_mask(data, image, scheme, max_bytes)
            for segment in part.segments or ():
                layers.add(segment.name, part.layers[segment.layer] == segment.value)
            layers.notes += part.notes
        merged = layers.finish()
    _write(target, merged, image)
    return merged.notes


def _write(target: Path, segmentation: Segmentation, image: Geometry) -> None:
    import SimpleITK as sitk

    segments, layers = segmentation.segments or (), segmentation.layers
    if not segments:
        raise InvalidInput("the DICOM object has no segments")
    stacked = np.stack([layer.transpose(2, 1, 0) for layer in layers], axis=-1)
    if stacked.max() < 256:
        stacked = stacked.astype(np.uint8)
    written = sitk.GetImageFromArray(stacked if len(layers) > 1 else stacked[..., 0], isVector=len(layers) > 1)
    lps = _RAS_TO_LPS @ image.affine[:3]
    written.SetSpacing(image.spacing_mm)
    written.SetOrigin(lps[:, 3].tolist())
    written.SetDirection((lps[:, :3] / np.array(image.spacing_mm)).ravel().tolist())
    extent = " ".join(f"0 {length - 1}" for length in image.shape)
    fields = {"Segmentation_MasterRepresentation": "Binary labelmap"}
    for number, segment in enumerate(segments):
        values = {
            "ID": f"Segment_{number + 1}", "Name": segment.name, "LabelValue": str(segment.value), "Layer": str(segment.layer),
            "Extent": extent, "Tags": "|",
        }  # fmt: skip
        fields |= {f"Segment{number}_{key}": value for key, value in values.items()}
    for key, value in fields.items():
        written.SetMetaData(key, value)
    sitk.WriteImage(written, str(target), useCompression=True, compressionLevel=1)
