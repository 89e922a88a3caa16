"""Import image files as examinations: one geometry, stored once, grouped by acquisition.

The way of an image is one line: ``files/discover`` finds the file, ``files/naming`` or ``dicom/`` names it (participant,
session, station, sequence), ``files/prepare`` reads, checks and converts it, ``masks/`` checks the mask beside it,
and ``record`` makes its row. :mod:`~mrseg_label.intake.service` runs these steps for an import,
:mod:`~mrseg_label.intake.uploads` for the one image of an upload.
"""
