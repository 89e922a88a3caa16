"""The MONAI Label app: ``python -m monailabel.main start_server --app apps/mrseg --studies DIR``.

DIR is a workspace, or a folder of images for which one is created. The launcher looks in this file for a
direct subclass of MONAILabelApp; everything else is in the package ``mrseg_monailabel``.
"""

from mrseg_monailabel.app import MRSegApp

__all__ = ["MRSegApp"]
