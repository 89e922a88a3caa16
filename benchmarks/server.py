"""Answer readers while drafts are computed and a round trains, compared with MONAI Label's own server.

uv run python -m benchmarks.server [--quick]

Ours is ``mrseg-label serve`` with its workers: they draft further cases and train a round during the measurement. The stock
server does nothing but answer: its app has the strategy and the data store of MONAI Label, and an infer task that copies a
ready mask, which is less than any stock app does. Both are asked in turn; seconds are wall-clock seconds.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.measuring import parse_quick, print_result
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.service import import_paths
from mrseg_label.labels import LabelScheme
from mrseg_label.processes import end_child, start_child
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.server import Server, free_port
from mrseg_label.workspace import Workspace

SHAPE = (224, 174, 44)
MODEL = "mrseg"
ROUND_SIZE = 4
START_SECONDS = 480.0
STOCK_APP = """
import shutil, tempfile
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.activelearning.random import Random

class ReadyMask(InferTask):
    def __init__(self):
        super().__init__(InferType.SEGMENTATION, LABELS, 3, "a ready mask")

    def is_valid(self):
        return True

    def __call__(self, request):
        target = tempfile.NamedTemporaryFile(suffix=".nrrd", delete=False).name
        shutil.copyfile(MASK, target)
        return target, {"label_names": LABELS}

class App(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="stock", labels=LABELS)

    def init_infers(self):
        return {"mrseg": ReadyMask()}

    def init_trainers(self):
        return {}

    def init_strategies(self):
        return {"random": Random()}
"""


def main() -> None:
    """Measure ``/info/``, ``/infer/mrseg`` of a ready draft, and all that opens a case."""
    quick = parse_quick(__doc__)
    samples, opened = (60, 3) if quick else (600, 12)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        images = _write_images(folder / "images", ROUND_SIZE + opened + (4 if quick else 12))
        ours = SlicerClient(stack.enter_context(_our_server(folder, images)), "benchmark")
        stack.enter_context(ours)
        mask = _annotate_a_batch(ours, folder)
        stock_url = stack.enter_context(_stock_server(folder, images, mask))
        stock = stack.enter_context(SlicerClient(stock_url, "benchmark"))
        _wait_for(lambda: _is_training(ours), "a round that trains", ours)
        info = _alternate(ours.info, stock.info, samples)
        sample = ours.next_sample("balanced")
        assert sample is not None, "no case is left"
        stock_id = images[0].name.removesuffix(".nii.gz")
        infer = _alternate(
            lambda: ours.infer(MODEL, sample.id, folder), lambda: stock.infer(MODEL, stock_id, folder), samples // 4
        )
        opening = _alternate(lambda: _open_ours(ours, folder), lambda: _open_stock(stock_url, folder), opened)
        busy = _is_training(ours)
    if not busy:
        print("note: the round had ended before the last measurement", file=sys.stderr)
    for what, (mine, theirs) in (("/info/", info), (f"/infer/{MODEL}", infer), ("open a case", opening)):
        print(f"{what}: ours {_summary(mine)}; stock {_summary(theirs)}")
    print_result("server", "monailabel start_server", *(statistics.median(seconds) for seconds in opening))


def _summary(seconds: list[float]) -> str:
    """Median and 99th percentile in milliseconds."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms (n {len(seconds)})"


def _alternate(
    ours: Callable[[], object], stock: Callable[[], object], repeats: int
) -> tuple[list[float], list[float]]:
    """Wall-clock seconds of two calls, made in turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for found, call in zip(seconds, (ours, stock), strict=True):
            before = time.perf_counter()
            call()
            found.append(time.perf_counter() - before)
    return seconds


def _open_ours(client: SlicerClient, folder: Path) -> None:
    """What Slicer asks when its user presses *Next Sample* and *Run*."""
    sample = client.next_sample("balanced")
    assert sample is not None, "no case is left"
    client.download_image(sample, folder)
    client.original_label(sample.id, folder)
    client.infer(MODEL, sample.id, folder)


def _open_stock(url: str, folder: Path) -> None:
    """The same; the stock server has no draft before ``/infer`` is asked, and so no label ``original``."""
    with SlicerClient(url, "benchmark") as client, httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        sample = http.post("/activelearning/random", json={"client_id": "benchmark"}).json()["id"]
        (folder / "stock.nii.gz").write_bytes(http.get("/datastore/image", params={"image": sample}).content)
        client.infer(MODEL, sample, folder)


def _write_images(folder: Path, count: int) -> list[Path]:
    """Images of the size of a UK Biobank station, each of a participant of its own."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    distance = np.linalg.norm(
        [axis / 0.4 for axis in np.meshgrid(*(np.linspace(-0.5, 0.5, n) for n in SHAPE), indexing="ij")], axis=0
    )
    paths = []
    for number in range(count):
        voxels = (400 * (distance < 1) + draw.normal(60, 12, SHAPE)).clip(0).astype(np.int16)
        paths.append(folder / f"p{number:02d}.nii.gz")
        write_nifti(paths[-1], voxels, Geometry(SHAPE, np.diag([2.23, 2.23, 4.5, 1.0])))
    return paths


@contextmanager
def _our_server(folder: Path, images: list[Path]) -> Iterator[str]:
    settings = f'AUTH = "off"\nROUND_SIZE = {ROUND_SIZE}\nTRAINING_PROFILE = "tiny"\nPREPARE_AHEAD = {len(images)}\n'
    root = Workspace.init(folder / "workspace", settings_text=settings).root
    workspace = open_workspace(root)
    import_paths(workspace, images)
    workspace.close()
    with Server(root, folder / "server.log") as server:
        yield server.url


def _annotate_a_batch(client: SlicerClient, folder: Path) -> Path:
    """Submit a batch of drafts unchanged, so that a round starts; returns one of the masks."""
    for _ in range(ROUND_SIZE):
        sample = client.next_sample("balanced")
        assert sample is not None
        client.download_image(sample, folder)
        draft = client.infer(MODEL, sample.id, folder)
        client.submit(sample.id, draft.file, draft.names, MODEL)
    return draft.file


def _is_training(client: SlicerClient) -> bool:
    return any(item["state"] in ("planning", "preprocessing", "training") for item in client.items("/api/v1/rounds"))


def _wait_for(condition: Callable[[], bool], what: str, client: SlicerClient) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {START_SECONDS:.0f} s for {what}; rounds: {client.items('/api/v1/rounds')}")
        time.sleep(0.5)


@contextmanager
def _stock_server(folder: Path, images: list[Path], mask: Path) -> Iterator[str]:
    app, studies = folder / "stock", folder / "studies"
    app.mkdir()
    studies.mkdir()
    for image in images:
        (studies / image.name).hardlink_to(image)
    labels = LabelScheme.default().shown_names
    (app / "main.py").write_text(f"LABELS = {labels!r}\nMASK = {str(mask)!r}\n{STOCK_APP}")
    port = free_port()
    command = [sys.executable, "-m", "mrseg_label.simulation.with_parent", "monailabel.main", "start_server"]
    command += ["--app", str(app), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "stock.log").open("wb") as output:
        process = start_child(command, stdout=output, stderr=output, environment=dict(os.environ))
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((folder / "stock.log").read_text(errors="replace")[-3000:])
                time.sleep(0.5)
            yield url
        finally:
            end_child(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/info/", timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
