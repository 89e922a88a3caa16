"""Debian's Orthanc with its DICOMweb plugin, as `.ci/run` installs it: the archive of a hospital in small."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import FileDataset

from tests.support.dicom_files import as_bytes

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "pacs", "geheim-4711"


def _program() -> str:
    """Orthanc's program. Where it is not installed, the test is skipped, or fails with REQUIRE_ORTHANC (`.ci/run`)."""
    found = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found and PLUGIN.exists():
        return found
    if os.environ.get("REQUIRE_ORTHANC"):
        pytest.fail("Orthanc is not installed, and REQUIRE_ORTHANC is set: apt-get install orthanc orthanc-dicomweb")
    pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")


class Orthanc:
    """A server on this machine, with an account; it can be killed and started again on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._command = folder, _program()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = int(listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=(USER, PASSWORD), timeout=60)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "OverwriteInstances": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._command, str(self._folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, (self._folder / "orthanc.log").read_text()
            assert time.monotonic() < deadline, "Orthanc does not answer"
            try:
                if self.http.get("/system").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it, as a loss of power does."""
        self._process.kill()
        self._process.wait()

    def store(self, files: Iterable[FileDataset]) -> None:
        """Put files into it by its own interface."""
        for ds in files:
            self.http.post("/instances", content=as_bytes(ds)).raise_for_status()

    def empty(self) -> None:
        """Remove everything from it."""
        for study in self.http.get("/studies").json():
            self.http.delete(f"/studies/{study}").raise_for_status()

    def close(self) -> None:
        """End it."""
        self.http.close()
        self.kill()


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start Orthanc with an empty archive in a folder."""
    server = Orthanc(folder)
    try:
        yield server
    finally:
        server.close()
