"""Sessions: images that a client sends to be segmented once, kept in the workspace's temporary folder for an hour."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.types import ANONYMOUS
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.intake.service import SentFile, check_single_image

EXPIRY_SECONDS = 3600
MAX_SESSIONS = 64
MAX_OWN_SESSIONS = 8  # of an account
MAX_UPLOADS = 4  # the sessions together take at most the space of this many uploads of the largest size
_ID = re.compile(r"[0-9a-f]{32}")
_META = "session.json"


@dataclass(frozen=True)
class ImageSession:
    """A session: one image, and how long it is kept."""

    id: str
    image: Path
    created: float
    expiry: int
    owner: str | None  # the account that sent it; None without sign-in

    def to_json(self) -> dict[str, Any]:
        """Describe the session as MONAI Label does, without paths of the server."""
        return {
            "name": self.id,
            "image": self.image.name,
            "create_ts": int(self.created),
            "expiry": self.expiry,
            "meta": {},
        }


class SessionStore:
    """Sessions on disk: they survive a restart and are removed when they expire."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace
        self._root = workspace.path("tmp/sessions")
        self._budget = MAX_UPLOADS * workspace.settings.max_upload_mb * 1024 * 1024

    def add(self, sent: Sequence[SentFile], expiry: int = 0, owner: str | None = None) -> ImageSession:
        """Make a session of uploaded files, which are judged as an import judges an image.

        Parameters
        ----------
        sent : one image, or the DICOM files of one series, which become one image; the files are moved.
        expiry : seconds without use after which the session ends, at most an hour; 0 for an hour.
        owner : account that may use the session; None without sign-in.

        Raises
        ------
        Conflict
            There are too many sessions, or too large ones; they end by themselves.
        InvalidInput
            The files are not an image that could be imported.
        """
        self.remove_expired()
        folders = self._root.iterdir() if self._root.is_dir() else ()
        present = [session for folder in folders if (session := self._read(folder)) is not None]
        stored = sum(session.image.stat().st_size for session in present)
        own = sum(session.owner == owner for session in present)
        if owner is not None and own >= MAX_OWN_SESSIONS:
            raise Conflict(f"you have {own} open sessions; end some, or wait: each ends after an hour without use")
        size = sum(file.path.stat().st_size for file in sent)
        if len(present) >= MAX_SESSIONS or stored + size > self._budget:
            raise Conflict(f"{len(present)} sessions are open; end some, or wait: each ends after an hour without use")
        identifier = secrets.token_hex(16)
        expiry = min(expiry, EXPIRY_SECONDS) if expiry > 0 else EXPIRY_SECONDS
        created = time.time()
        # Made elsewhere and moved as a whole: others who clean up must not find half a session.
        with self._workspace.scratch("session-") as scratch:
            image, suffix = check_single_image(self._workspace, sent, scratch)
            folder = scratch / identifier
            folder.mkdir()
            name = f"image{suffix}"
            os.replace(image, folder / name)
            meta = {"image": name, "created": created, "expiry": expiry, "owner": owner}
            (folder / _META).write_text(json.dumps(meta))
            self._record(owner, "session.add", size)
            self._root.mkdir(parents=True, exist_ok=True)
            os.rename(folder, self._root / identifier)
        return ImageSession(identifier, self._root / identifier / name, created, expiry, owner)

    def get(self, session_id: Any, owner: str | None = None) -> ImageSession:
        """Find a session by id, for the account that made it; its time starts again.

        Raises
        ------
        NotFound
            There is no such session, or it has ended.
        """
        if not isinstance(session_id, str) or not _ID.fullmatch(session_id):
            raise NotFound(f"there is no session {session_id!r:.80}")
        session = self._read(self._root / session_id)
        if session is None or self._expired(session) or session.owner != owner:
            raise NotFound(f"there is no session {session_id}, or it has ended; send the image again")
        os.utime(self._root / session_id)
        return session

    def remove(self, session_id: str, owner: str | None = None) -> ImageSession:
        """End a session. Raises as :meth:`get`."""
        session = self.get(session_id, owner)
        shutil.rmtree(self._root / session.id, ignore_errors=True)
        self._record(owner, "session.end")
        return session

    def remove_expired(self) -> None:
        """Remove sessions that have expired, and folders that are no whole session."""
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            session = self._read(folder)
            if session is None or self._expired(session):
                shutil.rmtree(folder, ignore_errors=True)

    def _record(self, owner: str | None, action: str, size: int | None = None) -> None:
        # Without the session's id: everyone who knows it may look at the image.
        with self._workspace.catalog.begin() as session:
            audit.record(session, owner or ANONYMOUS, action, "session", **({} if size is None else {"bytes": size}))

    def _read(self, folder: Path) -> ImageSession | None:
        try:
            meta = json.loads((folder / _META).read_text())
            return ImageSession(folder.name, folder / meta["image"], meta["created"], meta["expiry"], meta["owner"])
        except (OSError, ValueError, KeyError):
            return None

    def _expired(self, session: ImageSession) -> bool:
        try:
            used = session.image.parent.stat().st_mtime
        except OSError:
            return True
        return time.time() > used + session.expiry or not session.image.is_file()
