"""Watching the server's rounds and models from outside, over REST."""

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
_BEGIN_SECONDS = 120.0  # from the last submission to the row of the round
_STUCK_SECONDS = 900.0  # without any change


@dataclass(frozen=True)
class RoundEnd:
    """A round that has ended well.

    Attributes
    ----------
    model_version : what it made. promoted : whether readers get its drafts.
    seconds : from its beginning to its end, by the server's clock.
    """

    number: int
    model_version: str
    promoted: bool
    seconds: float


def wait_for_round(
    client: SlicerClient, number: int, check: Callable[[], None], watch: Callable[[str, dict[str, Any]], None]
) -> RoundEnd:
    """Wait until round ``number`` has trained and its model is registered.

    Parameters
    ----------
    check : raises if there is nothing to wait for any more (the server ended).
    watch : called with state and progress whenever they change.

    Raises
    ------
    Unavailable
        The round failed, was cancelled, did not begin, or stands still.
    """
    started = changed = time.monotonic()
    seen: tuple[str, str] | None = None
    while True:
        check()
        row = _round(client, number)
        moment = time.monotonic()
        if row is None and moment - started > _BEGIN_SECONDS:
            raise Unavailable(
                f"round {number} did not begin within {_BEGIN_SECONDS:.0f} s after the last correction; see GET /api/v1/progress"
            )
        if row is not None:
            now = row["state"], repr(row["progress"])
            if now != seen:
                seen, changed = now, moment
                watch(row["state"], row["progress"])
            if row["state"] in ENDED:
                return _ended(client, row)
            if moment - changed > _STUCK_SECONDS:
                raise Unavailable(
                    f"round {number} has stood at {row['state']} for {_STUCK_SECONDS:.0f} s; see mrseg-label rounds log {number}"
                )
        time.sleep(_POLL_SECONDS)


def current_model(client: SlicerClient) -> dict[str, Any]:
    """The model version whose drafts readers get."""
    model: dict[str, Any] = client.get("/api/v1/models/current")
    return model


def held_out_examinations(client: SlicerClient) -> list[str]:
    """Ids of the examinations that readers open of participants whom the server holds out of training."""
    return [row["id"] for row in client.items("/api/v1/examinations") if row["held_out"] and row["primary"]]


def _round(client: SlicerClient, number: int) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = client.get(f"/api/v1/rounds/{number}")
    except NotFound:
        return None
    return row


def _ended(client: SlicerClient, row: dict[str, Any]) -> RoundEnd:
    number, version = row["number"], row["model_version"]
    if row["state"] != "done":
        raise Unavailable(
            f"round {number} ended as {row['state']}: {row['error'] or 'no reason given'}; see mrseg-label rounds log {number}"
        )
    if version is None:
        raise Unavailable(f"round {number} is done but has registered no model; see mrseg-label rounds log {number}")
    seconds = (datetime.fromisoformat(row["finished"]) - datetime.fromisoformat(row["started"])).total_seconds()
    return RoundEnd(number, version, current_model(client)["version"] == version, seconds)
