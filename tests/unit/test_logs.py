"""Lines of the logs: for people, and as JSON with the id of the request."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import datetime

import pytest

from mrseg_label import logs

log = logging.getLogger("mrseg_label.test")


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """The lines on standard error, with the loggers of this process as they were afterwards."""
    names = (None, *logs.OURS, "httpx", "httpcore")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield lambda: capsys.readouterr().err.splitlines()
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_of_json_has_the_request_fields_and_exception(written: Callable[[], list[str]]) -> None:
    logs.configure(logs.JSON)
    with logs.about_request("7f3a09c25d1be684"):
        log.info("done in\n%d ms", 12, extra=logs.with_fields(status=200, duration_ms=12.0))
        try:
            raise ValueError("no")
        except ValueError:
            thread = threading.Thread(target=copy_context().run, args=(log.exception, "failed"))
            log.exception("failed")
        thread.start()
        thread.join()
    log.warning("later")
    first, failed, in_thread, later = (json.loads(line) for line in written())
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "info", "logger": "mrseg_label.test", "message": "done in\n12 ms", "request_id": "7f3a09c25d1be684",
        "status": 200, "duration_ms": 12.0,
    }  # fmt: skip
    assert failed["level"] == "error" and "ValueError: no" in failed["exception"]
    assert in_thread["request_id"] == first["request_id"]
    assert later["message"] == "later" and "request_id" not in later


def test_a_line_of_text_names_the_request_once(written: Callable[[], list[str]]) -> None:
    logs.configure(logs.TEXT)
    with logs.about_request("7f3a"):
        log.info("request 7f3a: GET /info/")
        log.warning("the disk is slow")
    first, second = written()
    assert first.endswith("mrseg_label.test INFO request 7f3a: GET /info/")
    assert second.endswith("mrseg_label.test WARNING the disk is slow (request 7f3a)")


def test_libraries_log_warnings_and_no_addresses(written: Callable[[], list[str]]) -> None:
    logs.configure(logs.TEXT, others=logging.INFO)
    logging.getLogger("httpx").info("HTTP Request: GET https://provider/?code=secret")
    logging.getLogger("a_library").info("shown")
    logs.configure(logs.TEXT)
    logging.getLogger("a_library").info("not shown")
    logging.getLogger("a_library").warning("shown, too")
    assert [line.rpartition(" ")[0].partition("a_library ")[2] for line in written()] == [
        "INFO",
        "WARNING shown,",
    ]
