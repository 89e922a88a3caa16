"""What the stock launcher's ``--studies DIR`` means: a workspace, or a folder of images around which one is made."""

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
    """Folder of the workspace, and the folder of images to import into it, if the studies are one.

    Raises
    ------
    ConfigurationError
        The studies are a DICOMweb address or no folder.
    """
    if studies.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"--studies {studies}: give a workspace or a folder of images; DICOMweb is not read here"
        )
    folder = Path(studies)
    if not folder.is_dir():
        raise ConfigurationError(f"--studies {studies} is not a folder")
    folder = folder.resolve()
    if (folder / CONFIG_FILE).is_file():
        return folder, None
    return folder / FOLDER, folder


def open_studies(studies: str) -> tuple[OpenedWorkspace, Path | None]:
    """Open the workspace that the studies are, or make one in them.

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
                f"no workspace can be made in {images}: {error}; make one with mrseg-label init"
            ) from error
        log.info("a workspace was made in %s", root)
    return open_workspace(root), images


def import_studies(workspace: OpenedWorkspace, images: Path) -> None:
    """Bring the images of the studies into the catalogue; those that are there already stay as they are."""
    try:
        report = import_paths(workspace, [images], ImportOptions(actor="monailabel"))
    except MrsegError as error:
        log.error("the images in %s could not be imported: %s", images, error)
        return
    if report.refused:  # by name they are not for a log: files may be called after patients
        log.warning("to see why images were refused: mrseg-label import %s --workspace %s", images, workspace.root)
    log.info(
        "%d images imported, %d were there, %d refused", len(report.accepted), report.unchanged, len(report.refused)
    )
