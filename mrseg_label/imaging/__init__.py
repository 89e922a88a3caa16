"""Arrays and geometry: volumes, orientation, masks, intensities. No database, no settings.

Arrays are in file axis order (X, Y, Z), as nibabel gives them: the first axis is the one that runs
fastest on disk. SimpleITK and nnU-Net arrays are (Z, Y, X), the transpose. World coordinates are RAS in mm.
"""

from __future__ import annotations

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient, reorient_like
from mrseg_label.imaging.volume import load_image, write_nifti

__all__ = ["Geometry", "load_image", "reorient", "reorient_like", "write_nifti"]
