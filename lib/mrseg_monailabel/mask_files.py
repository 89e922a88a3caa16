"""The files in which masks are sent to clients: their format, their voxel type, and the segments that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.labels import LabelScheme

if TYPE_CHECKING:
    import SimpleITK as sitk

SEGMENTS = ".seg.nrrd"  # Slicer's own format for segmentations
EXTENSIONS = (".nrrd", SEGMENTS, ".nii.gz", ".nii", ".mha")
# Names of numpy, with those of SimpleITK.
_PIXELS = {
    "uint8": "sitkUInt8",
    "int8": "sitkInt8",
    "uint16": "sitkUInt16",
    "int16": "sitkInt16",
    "uint32": "sitkUInt32",
    "int32": "sitkInt32",
    "uint64": "sitkUInt64",
    "int64": "sitkInt64",
    "float32": "sitkFloat32",
    "float64": "sitkFloat64",
}
_LARGEST_OF_INT8 = 127


@dataclass(frozen=True)
class MaskForm:
    """How a client wants a mask.

    Attributes
    ----------
    extension : one of :data:`EXTENSIONS`.
    dtype : numpy's name of the voxel type.
    """

    extension: str = ".nrrd"
    dtype: str = "uint8"


def form_of(request: Mapping[str, Any], scheme: LabelScheme) -> MaskForm:
    """Read ``result_extension`` and ``result_dtype`` of a request; by default ``.nrrd`` and ``uint8``.

    Raises
    ------
    InvalidInput
        There is no such format or type, or the type cannot hold the label ids.
    """
    extension, dtype = (
        default if (value := request.get(key)) is None or value == "" else value
        for key, default in (("result_extension", MaskForm.extension), ("result_dtype", MaskForm.dtype))
    )
    if extension not in EXTENSIONS:
        raise InvalidInput(f"result_extension must be one of {', '.join(EXTENSIONS)}, not {extension!r:.40}")
    if not isinstance(dtype, str) or dtype not in _PIXELS:
        raise InvalidInput(f"result_dtype must be one of {', '.join(_PIXELS)}, not {dtype!r:.40}")
    if extension == SEGMENTS and dtype.startswith("float"):
        raise InvalidInput(f"result_dtype of a {SEGMENTS} file must be a whole number type such as uint8, not {dtype}")
    if dtype == "int8" and len(scheme) > _LARGEST_OF_INT8:
        raise InvalidInput(f"result_dtype int8 cannot hold the {len(scheme)} label ids; ask for uint8 or int16")
    return MaskForm(extension, dtype)


def write_mask(
    source: Path | None,
    image: Path,
    target: Path,
    form: MaskForm,
    scheme: LabelScheme,
    judged: Collection[str] | None = None,
) -> None:
    """Write a mask in the form that a client wants, with the geometry that ITK (and so Slicer) reads from its image.

    Parameters
    ----------
    source : the stored mask; None for an empty one.
    judged : the structures that become segments of a ``.seg.nrrd``; None for all.

    Raises
    ------
    StoredFileError
        The mask has another size than its image.
    """
    import SimpleITK as sitk

    header = _header(image)
    pixels = getattr(sitk, _PIXELS[form.dtype])
    mask = sitk.Image(header.GetSize(), pixels) if source is None else sitk.ReadImage(str(source), pixels)
    if source is not None and mask.GetSize() != header.GetSize():
        raise StoredFileError(
            f"the mask {source.name} has size {mask.GetSize()}, but its image {image.name} has {header.GetSize()}"
        )
    mask.SetOrigin(header.GetOrigin())
    mask.SetSpacing(header.GetSpacing())
    mask.SetDirection(header.GetDirection())
    for key in mask.GetMetaDataKeys():  # NIfTI fields would become NRRD fields
        mask.EraseMetaData(key)
    if form.extension == SEGMENTS:
        for key, value in segment_fields(scheme, mask.GetSize(), judged).items():
            mask.SetMetaData(key, value)
    # The lowest level: more makes a label map hardly smaller, and a reader is waiting.
    sitk.WriteImage(mask, str(target), useCompression=True, compressionLevel=1)


def segment_fields(scheme: LabelScheme, size: tuple[int, ...], judged: Collection[str] | None = None) -> dict[str, str]:
    """The NRRD fields from which Slicer reads the segments: the structures of the scheme, in the order of the ids.

    A structure that is not annotated has no segment: an empty one would mean "absent" when the mask is submitted again.

    Without ``Layer`` Slicer loads the first segment alone, without ``LabelValue`` every segment is 1, and without ``ID``
    it ignores all fields.
    """
    extent = " ".join(f"0 {length - 1}" for length in size)
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, structure in enumerate(one for one in scheme if judged is None or one.name in judged):
        color = " ".join(f"{part / 255:.6g}" for part in structure.color)
        values = {
            "ID": structure.name, "Name": structure.shown_name, "NameAutoGenerated": "0", "Color": color,
            "ColorAutoGenerated": "0", "LabelValue": str(structure.id), "Layer": "0", "Extent": extent, "Tags": "|",
        }  # fmt: skip
        fields |= {f"Segment{number}_{key}": value for key, value in values.items()}
    return fields


def _header(path: Path) -> sitk.ImageFileReader:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader
