"""Follow the server's rounds and models through its REST API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mrseg_label.errors import NotFound, Unavailable
from mrseg_label.simulation.client import SlicerClient

ENDED = ("done", "failed", "cancelled")
_POLL_SECONDS = 1.0
_START_TIMEOUT_SECONDS = 120.0  # from the last submission to the start of the round
_STALL_TIMEOUT_SECONDS = 900.0  # without any change


@dataclass(frozen=True)
class FinishedRound:
    """A round that finished successfully.

    Attributes
    ----------
    model_version : the version that it registered.
    promoted : whether that version became the current one.
    seconds : from its start to its end, by the server's clock.
    """

    number: int
    model_version: str
    promoted: bool
    seconds: float


def wait_for_round(
    client: SlicerClient, number: int, check: Callable[[], None], on_progress: Callable[[str, dict[str, Any]], None]
) -> FinishedRound:
    """Wait until a round has finished and its model is registered.

    Parameters
    ----------
    check : called repeatedly; raises if waiting is pointless because the server has ended.
    on_progress : called with state and progress whenever they change.

    Raises
    ------
    Unavailable
        The round failed, was cancelled, did not start in time, or makes no progress.
    """
    started = changed = time.monotonic()
    seen: tuple[str, str] | None = None
    while True:
        check()
        row = _round(client, number)
        moment = time.monotonic()
        if row is None and moment - started > _START_TIMEOUT_SECONDS:
            raise Unavailable(
                f"round {number} did not start within {_START_TIMEOUT_SECONDS:.0f} s after the last correction; "
                "see GET /api/v1/progress"
            )
        if row is not None:
            now = row["state"], repr(row["progress"])
            if now != seen:
                seen, changed = now, moment
                on_progress(row["state"], row["progress"])
            if row["state"] in ENDED:
                return _finished(client, row)
            if moment - changed > _STALL_TIMEOUT_SECONDS:
                raise Unavailable(
                    f"round {number} has made no progress in the state {row['state']} for {_STALL_TIMEOUT_SECONDS:.0f} s; "
                    f"see mrseg-label rounds log {number}"
                )
        time.sleep(_POLL_SECONDS)


def current_model(client: SlicerClient) -> dict[str, Any]:
    """Get the current model version."""
    model: dict[str, Any] = client.get("/api/v1/models/current")
    return model


def held_out_examinations(client: SlicerClient) -> list[str]:
    """List the ids of the examinations that readers open of held-out participants."""
    return [row["id"] for row in client.items("/api/v1/examinations") if row["held_out"] and row["primary"]]


def _round(client: SlicerClient, number: int) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = client.get(f"/api/v1/rounds/{number}")
    except NotFound:
        return None
    return row


def _finished(client: SlicerClient, row: dict[str, Any]) -> FinishedRound:
    number, version = row["number"], row["model_version"]
    if row["state"] != "done":
        raise Unavailable(
            f"round {number} has the state {row['state']} ({row['error'] or 'no reason given'}); "
            f"see mrseg-label rounds log {number}"
        )
    if version is None:
        raise Unavailable(f"round {number} is done but registered no model; see mrseg-label rounds log {number}")
    seconds = (datetime.fromisoformat(row["finished"]) - datetime.fromisoformat(row["started"])).total_seconds()
    return FinishedRound(number, version, current_model(client)["version"] == version, seconds)
