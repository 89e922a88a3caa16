"""Stored pre-segmentations that were damaged: found, put aside and made again."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.errors import StoredFileError
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.catalog")
_SUFFIX = ".damaged"


def is_whole(workspace: Workspace, presegmentation: Presegmentation) -> bool:
    """Whether the file of a pre-segmentation is what it was when it was stored.

    A damaged one is renamed beside itself, so that it is never read again and can be looked at. A pre-segmentation can
    be made again, unlike an image or an annotation, which is the truth.
    """
    try:
        workspace.verify(presegmentation.path, presegmentation.digest)
    except StoredFileError as error:
        path = workspace.path(presegmentation.path)
        with suppress(FileNotFoundError):  # it is missing, or another process was faster
            os.replace(path, path.with_name(path.name + _SUFFIX))
        log.warning("pre-segmentation %s is damaged and made again: %s", presegmentation.id, error)
        return False
    return True
