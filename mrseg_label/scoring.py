"""The rule of every mean DSC: which structures of a case count.

A mean says how well a model segments what is there. The DSC of a structure that is not there is zero for a single
voxel that the model put somewhere, however good it is elsewhere, and that of a few voxels at the border of the image
is noise. So both are left out of every mean and reported apart: Maier-Hein L, et al. Metrics reloaded:
recommendations for image analysis validation. Nat Methods 2024;21:195-212.
https://doi.org/10.1038/s41592-023-02151-z
"""

from __future__ import annotations

MIN_REFERENCE_VOXELS = 10

# Shown wherever a mean is.
STRUCTURES_THAT_COUNT = (
    f"structures of which the reference has at least {MIN_REFERENCE_VOXELS} voxels; voxels of a structure that is not "
    "there are counted apart, as false positives"
)
MEAN_OF_CASES = f"mean over the cases of each case's mean over the {STRUCTURES_THAT_COUNT}"
