"""The stock launcher's ``--studies DIR``: a workspace, or a folder of images for which one is made."""

from __future__ import annotations

import logging
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import ConfigurationError, MrsegError
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_monailabel")
FOLDER = "mrseg-workspace"  # beside the images, in plain sight: it holds the readers' work


def workspace_of(studies: str) -> tuple[Path, Path | None]:
    """Return the folder of the workspace, and the folder of images to import into it if the studies are one.

    Raises
    ------
    ConfigurationError
        The studies are a DICOMweb address, or not a folder.
    """
    if studies.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"--studies {studies}: DICOMweb is not supported; give a workspace or a folder of images"
        )
    folder = Path(studies)
    if not folder.is_dir():
        raise ConfigurationError(f"--studies {studies} is not a folder")
    folder = folder.resolve()
    if (folder / CONFIG_FILE).is_file():
        return folder, None
    return folder / FOLDER, folder


def open_studies(studies: str) -> tuple[OpenedWorkspace, Path | None]:
    """Open the workspace that the studies are, or create one in them.

    Raises
    ------
    ConfigurationError
        The studies cannot be used.
    """
    root, images = workspace_of(studies)
    if images is not None and not (root / CONFIG_FILE).is_file():
        try:
            Workspace.init(root)
        except OSError as error:
            raise ConfigurationError(
                f"no workspace can be created in {images}: {error}; create one elsewhere with: mrseg-label init DIR"
            ) from error
        log.info("created a workspace in %s", root)
    return open_workspace(root), images


def import_studies(workspace: OpenedWorkspace, images: Path) -> None:
    """Import the images of the studies; those that are in the catalogue already stay as they are."""
    try:
        report = import_paths(workspace, [images], ImportOptions(actor="monailabel"))
    except MrsegError as error:
        log.error("the images in %s could not be imported: %s", images, error)
        return
    if report.refused:  # their names are not logged: files may be named after patients
        log.warning("to see why images were refused: mrseg-label import %s --workspace %s", images, workspace.root)
    log.info(
        "%d images and %d masks imported, %d images unchanged, %d files refused",
        len(report.accepted),
        report.masks,
        report.unchanged,
        len(report.refused),
    )
