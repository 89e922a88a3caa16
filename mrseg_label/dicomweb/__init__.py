"""The hospital's archive over DICOMweb: search it (QIDO-RS), fetch series (WADO-RS), store objects (STOW-RS).

References
----------
DICOM PS3.18, Web Services: https://dicom.nema.org/medical/dicom/current/output/html/part18.html
"""

from __future__ import annotations

from mrseg_label.dicomweb.query import Query
from mrseg_label.dicomweb.server import DicomwebServer
from mrseg_label.dicomweb.studies import Series, Study

__all__ = ["DicomwebServer", "Query", "Series", "Study"]
