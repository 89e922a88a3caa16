"""Connections that hold: a head that comes too slowly or never ends is given up, and so is a body nobody wants.

Applications see a request when its head is complete; what comes before that is the HTTP server's business, and
uvicorn waits for it as long as the client likes.

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
# So much of a body is read and dropped after the answer, that clients which send before they listen get to hear it.
MAX_UNWANTED_BYTES = 16 * 1024 * 1024


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to its patience.

    Parameters
    ----------
    head_seconds : within which the head of a request must be there, from the connection or its first byte on.
    """

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = head_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._head_bytes = 0
        self._messages = 0  # that came whole
        self._unwanted: int | None = None  # bytes of a body that came after its answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        awaited, messages = self._awaits_head, self._messages
        if awaited and not self._answering():
            self._arm()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unwanted is not None:
            self._unwanted += len(data)
            if self._unwanted > MAX_UNWANTED_BYTES:
                self.transport.close()
        elif awaited and self._awaits_head and messages == self._messages:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is larger than {MAX_HEAD_BYTES // 1024} KB")

    def on_message_begin(self) -> None:
        self._arm()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._disarm()
        self._awaits_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._unwanted is not None:
            self._disarm()
        self._awaits_head, self._head_bytes, self._unwanted = True, 0, None
        self._messages += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unwanted = 0
            self._arm()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._answering():  # the next request waits for its turn
            self._arm()
        elif self._unwanted is not None or self._head_bytes == 0:
            self.transport.close()
        else:
            self._refuse(408, f"the head of the request did not come within {self._seconds:g} s")

    def _refuse(self, status: int, detail: str) -> None:
        if not self._answering():
            body = json.dumps({"detail": detail}).encode()
            head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def patient(head_seconds: float) -> Any:
    """The protocol class as uvicorn's option ``http`` takes it."""
    return partial(PatientProtocol, head_seconds=head_seconds)
