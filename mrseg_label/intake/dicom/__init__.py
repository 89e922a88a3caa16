"""DICOM exports: folders and zips to named images, without anything that identifies a patient."""
