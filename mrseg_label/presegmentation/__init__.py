"""Pre-segmentations: their sources, the choice among them, and the jobs that make and store them."""
