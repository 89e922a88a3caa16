"""Simulated radiologists for Locust: each signs in and then works as at Slicer, case after case.

locust -f benchmarks/radiologists.py --headless --users 50 --spawn-rate 10 --run-time 10m --host URL
    --masks FOLDER --password WORD [--pause 30 60] [--seconds-file FILE]

Radiologist k signs in as ``reader-k``. A case is: request it, download its image, see what the server tells of it, get the
draft, correct it (the pause), submit a mask of the folder, and ask what the module asks after each submission. The file of
seconds has, by name of the request, how long each took; :mod:`benchmarks.load` makes the study and reads the file.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gevent import sleep
from locust import User, events, task
from locust.exception import RescheduleTask, StopUser

from mrseg_label.errors import MrsegError
from mrseg_label.simulation.client import SlicerClient

STRATEGIES = ("balanced", "random", "sequential")
MODEL = "mrseg"
NEXT_CASE, SUBMISSION = "next case", "submission"
Result = TypeVar("Result")

_numbers = itertools.count()
_seconds: dict[str, list[float]] = defaultdict(list)
_errors: list[str] = []


@events.init_command_line_parser.add_listener
def _add_options(parser: Any) -> None:
    parser.add_argument("--masks", type=Path, required=True, help="folder of label maps to submit, and names.json")
    parser.add_argument("--password", required=True, help="of every account")
    parser.add_argument("--pause", type=float, nargs=2, default=(30.0, 60.0), help="seconds that a correction takes")
    parser.add_argument("--seconds-file", type=Path, help="where to write how long every request took")


@events.quitting.add_listener
def _write(environment: Any, **_: Any) -> None:
    if environment.parsed_options.seconds_file is not None:
        environment.parsed_options.seconds_file.write_text(json.dumps({"seconds": _seconds, "errors": _errors}))


class Radiologist(User):
    """One radiologist with an account, at a Slicer of his own whose user id nobody has changed."""

    def on_start(self) -> None:
        """Sign in, and begin at a moment of one's own."""
        options = self.environment.parsed_options
        self._folder = tempfile.TemporaryDirectory(prefix="radiologist-")
        self._masks = sorted(options.masks.glob("label-*.nrrd"))
        self._names: list[str] = json.loads((options.masks / "names.json").read_text())
        self._random = random.Random(number := next(_numbers))
        self._client = SlicerClient(self.host or "", "user-xyz")
        try:
            self._timed("sign in", lambda: self._client.sign_in(f"reader-{number}", options.password))
        except RescheduleTask as error:
            raise StopUser from error
        sleep(self._random.uniform(0, options.pause[1]))

    def on_stop(self) -> None:
        """Close Slicer."""
        self._client.close()
        self._folder.cleanup()

    @task
    def annotate_a_case(self) -> None:
        """Annotate one case."""
        client, folder = self._client, Path(self._folder.name)
        strategy = self._random.choice(STRATEGIES)
        sample = self._timed(NEXT_CASE, lambda: client.next_sample(strategy))
        if sample is None:
            raise StopUser
        self._timed("image", lambda: client.download_image(sample, folder)).unlink()
        if (
            original := self._timed("label of the draft", lambda: client.original_label(sample.id, folder))
        ) is not None:
            original[0].unlink()
        self._timed("draft", lambda: client.infer(MODEL, sample.id, folder)).file.unlink()
        sleep(self._random.uniform(*self.environment.parsed_options.pause))
        mask = self._random.choice(self._masks)
        self._timed(SUBMISSION, lambda: client.submit(sample.id, mask, self._names, MODEL))
        self._timed("/info/", client.info)

    def _timed(self, name: str, request: Callable[[], Result]) -> Result:
        """Send a request, and tell Locust how long it took and whether it failed."""
        failure: Exception | None = None
        begin = time.perf_counter()
        try:
            return request()
        except (MrsegError, OSError) as error:
            failure = error
            _errors.append(f"{name}: {error}")
            raise RescheduleTask(str(error)) from error
        finally:
            seconds = time.perf_counter() - begin
            if failure is None:
                _seconds[name].append(seconds)
            self.environment.events.request.fire(
                request_type="Slicer",
                name=name,
                response_time=1000 * seconds,
                response_length=0,
                exception=failure,
                context={},
            )
