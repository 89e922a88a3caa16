"""Masks as DICOM objects: segmentations are written and read, structure sets (RTSTRUCT) are read.

References
----------
DICOM PS3.3, A.51 (Segmentation IOD), C.8.20 (Segmentation), A.19 (RT Structure Set IOD), C.8.8.5 and C.8.8.6:
https://dicom.nema.org/medical/dicom/current/output/html/part03.html
"""
