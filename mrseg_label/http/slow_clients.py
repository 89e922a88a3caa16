"""Limits below the application: request heads that are too slow or too large, and bodies sent after the reply.

An application sees a request only when its head is complete. Until then uvicorn waits as long as the client likes.

References
----------
RFC 9110, HTTP Semantics, 15.5.9 (408); RFC 6585, 5 (431). https://www.rfc-editor.org/rfc/rfc9110
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
# A refused body is read and dropped up to this size, so that clients which send everything before they read get the reply.
MAX_DROPPED_BYTES = 16 * 1024 * 1024


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on time and size of a request's head.

    Parameters
    ----------
    head_seconds : time for the head of a request, from the start of the connection or the first byte of the head.
    """

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = head_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._head_bytes = 0
        self._complete_messages = 0
        self._dropped: int | None = (
            None  # bytes of a body that arrived after the reply; None while no reply is complete
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        awaited, messages = self._awaits_head, self._complete_messages
        if awaited and not self._is_replying():
            self._start_timer()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._dropped is not None:
            self._dropped += len(data)
            if self._dropped > MAX_DROPPED_BYTES:
                self.transport.close()
        elif awaited and self._awaits_head and messages == self._complete_messages:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is larger than {MAX_HEAD_BYTES // 1024} KB")

    def on_message_begin(self) -> None:
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._awaits_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._dropped is not None:
            self._stop_timer()
        self._awaits_head, self._head_bytes, self._dropped = True, 0, None
        self._complete_messages += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._dropped = 0
            self._start_timer()

    def _is_replying(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_replying():  # the next request has to wait until the reply is sent
            self._start_timer()
        elif self._dropped is not None or self._head_bytes == 0:
            self.transport.close()
        else:
            self._refuse(408, f"the head of the request did not arrive within {self._seconds:g} s")

    def _refuse(self, status: int, detail: str) -> None:
        if not self._is_replying():
            body = json.dumps({"detail": detail}).encode()
            head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def limited_protocol(head_seconds: float) -> Any:
    """Return the protocol class as uvicorn's option ``http`` takes it."""
    return partial(LimitedProtocol, head_seconds=head_seconds)
