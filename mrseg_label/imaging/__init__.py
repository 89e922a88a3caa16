"""Image arrays and their geometry: reading, writing, orientation, intensities. No database, no settings.

Arrays are in file axis order (X, Y, Z), as in nibabel: the first axis varies fastest on disk. Arrays of SimpleITK
and nnU-Net are (Z, Y, X), the transpose. World coordinates are RAS in mm.
"""

from __future__ import annotations

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import canonical, from_canonical, reorient, reorient_like
from mrseg_label.imaging.volume import load_image, write_nifti

__all__ = ["Geometry", "canonical", "from_canonical", "load_image", "reorient", "reorient_like", "write_nifti"]
