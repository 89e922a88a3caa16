"""Files that operating systems and file servers leave beside the user's own, in folders and in archives."""

from __future__ import annotations

from pathlib import PurePath

_FOLDERS = frozenset(
    ("__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle", "#snapshot")
)
_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "icon\uf00d"))


def is_companion(path: PurePath) -> bool:
    """Whether a file, by its path below a folder or in an archive, is hidden or a companion of an operating system.

    Names that begin with a dot are hidden (``.DS_Store``, and ``._scan.dcm`` beside ``scan.dcm``); ``__MACOSX`` holds
    such files in a zip that macOS made.
    """
    *folders, name = path.parts or ("",)
    return any(is_companion_folder(folder) for folder in folders) or name[:1] == "." or name.lower() in _FILES


def is_companion_folder(name: str) -> bool:
    """Whether a folder is hidden or belongs to an operating system."""
    return name[:1] == "." or name.lower() in _FOLDERS
