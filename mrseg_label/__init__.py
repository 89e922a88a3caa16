"""mrseg-label: the annotation loop of MRSegmentator as a self-hosted server."""

__version__ = "0.2.0"
