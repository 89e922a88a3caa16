"""Streams of server-sent events. A process reads what changed once, however many clients listen.

A stream keeps nothing but the number of the last change that its client was sent. What changed lately is in memory;
a client that resumes, or reads slowly, gets the rest from the database at its own pace. So a client that vanishes
leaves nothing behind.

References
----------
WHATWG HTML, 9.2 Server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.tokens import is_still_valid
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Role, Topic
from mrseg_label.errors import MrsegError, TooManyRequests, Unavailable
from mrseg_label.reports.blinding import read_any_blind, without_case
from mrseg_label.reports.events import Change, Changes, may_see, read_changes, read_numbers

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0  # also how often a stream looks whether its account may still go on
SEND_SECONDS = 60.0  # for a client to take what it is sent
RETRY_MILLISECONDS = 2000  # until a client connects again
MAX_STREAMS, MAX_OF_READER = 200, 12  # of a process
KEPT_PAGES = 100  # of changes in memory
PAGE = 200  # changes that are read at once
RESET = "reset"
_LOST = "not all changes since then are known any more; read the lists again"
# No cache and no proxy may hold the stream back or change it; nginx heeds the second one alone.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

log = logging.getLogger("mrseg_label.http")
_Result = TypeVar("_Result")


class EventStreams:
    """The streams of a server process. All methods but :meth:`close` are called in its event loop."""

    def __init__(self, catalog: Catalog, *, blinds_readers: bool = False) -> None:
        self._catalog = catalog
        self.blinds_readers = blinds_readers  # whether radiologists may get cases without knowing why
        self._limiter = CapacityLimiter(2)  # of threads: streams never take those of requests
        self._streams: set[_Stream] = set()
        self._pages: deque[Changes] = deque(maxlen=KEPT_PAGES)
        self._newest = 0
        self._reading: asyncio.Task[None] | None = None
        self._closing = False

    def open(
        self, reader: Reader, identity: Identity | None, topics: frozenset[Topic], last: int | None, *, follow: bool
    ) -> EventResponse:
        """Open a stream for a reader.

        Parameters
        ----------
        identity : the account, which is looked at again while the stream lasts; None without sign-in.
        topics : those that the reader's role may read.
        last : number of the change that the client was sent last; None begins with what changes from now on.
        follow : whether the stream goes on with what changes later.

        Raises
        ------
        Unavailable
            The server is about to end, or has as many streams as it can.
        TooManyRequests
            The reader has as many streams as one may have.
        """
        if self._closing:
            raise Unavailable("this server is about to end; connect again in a moment")
        if len(self._streams) >= MAX_STREAMS:
            raise Unavailable(f"{MAX_STREAMS} streams of events are open at this server; connect again later")
        if identity is not None and Counter(one.reader.name for one in self._streams)[reader.name] >= MAX_OF_READER:
            raise TooManyRequests(f"{reader.name} has {MAX_OF_READER} open streams of events; close one", 30)
        return EventResponse(self, _Stream(self, reader, identity, topics, last, follow=follow))

    def close(self) -> None:
        """End all streams, so that the server can end; from any thread of a loop that still runs."""
        self._closing = True
        self._wake()

    @property
    def is_closing(self) -> bool:
        """Whether all streams are to end."""
        return self._closing

    @property
    def newest(self) -> int:
        """Number of the newest change that was read."""
        return self._newest

    def add(self, stream: _Stream) -> None:
        """Count a stream, and begin to read what changes."""
        self._streams.add(stream)
        if stream.follows and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read())

    def remove(self, stream: _Stream) -> None:
        """Forget a stream; without any, nothing is read."""
        self._streams.discard(stream)
        if not self._streams and self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def in_thread(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function that reads the database with the catalogue and these arguments."""
        call = partial(function, self._catalog, *arguments)
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)

    async def changes_after(self, number: int, topics: frozenset[Topic]) -> Changes:
        """Return the next changes above a number, from memory where they are there with these topics."""
        kept = next((page for page in self._pages if page.after <= number < page.last), None)
        if kept is not None and topics <= kept.topics:
            return kept
        return await self.in_thread(read_changes, number, PAGE, topics)

    async def _read(self) -> None:
        """Read what changes, and wake the streams."""
        self._pages.clear()
        started = troubled = False
        while True:
            try:
                if not started:
                    _, self._newest = await self.in_thread(read_numbers)
                    started = True
                    self._wake()
                topics = frozenset[Topic]().union(*(stream.topics for stream in self._streams))
                page = await self.in_thread(read_changes, self._newest, PAGE, topics)
                troubled = False
            except MrsegError as error:  # the database does not answer: streams go on as soon as it does
                if not troubled:
                    log.warning("%s", error)
                troubled = True
                await asyncio.sleep(10 * POLL_SECONDS)
                continue
            if page.last > self._newest:
                self._pages.append(page)
                self._newest = page.last
                self._wake()
            await asyncio.sleep(POLL_SECONDS)

    def _wake(self) -> None:
        for stream in list(self._streams):
            stream.news.set()


class _Stream:
    """What one client is sent."""

    def __init__(
        self,
        streams: EventStreams,
        reader: Reader,
        identity: Identity | None,
        topics: frozenset[Topic],
        last: int | None,
        *,
        follow: bool,
    ) -> None:
        self.reader = reader
        self.topics = topics
        self.hides_cases = False
        self.news = asyncio.Event()
        self._streams = streams
        self._identity = identity
        self._last = last
        self.follows = follow

    async def events(self) -> AsyncIterator[bytes]:
        """Yield what the client is sent, until the server ends or the reader may no longer go on."""
        streams = self._streams
        if self.reader.role is Role.RADIOLOGIST:
            self.hides_cases = streams.blinds_readers or await streams.in_thread(read_any_blind)
        oldest, newest = await streams.in_thread(read_numbers)
        sent = newest if self._last is None else self._last
        if self._last is not None and not oldest - 1 <= self._last <= newest:
            sent = newest
            yield format_sse_event(event=RESET, data_str=f'{{"reason":"{_LOST}"}}')
        # A number without data is no event, and makes clients resume from here.
        yield format_sse_event(comment="mrseg-label", id=str(sent), retry=RETRY_MILLISECONDS)
        while not self.follows and sent < newest:
            page = await streams.changes_after(sent, self.topics)
            for change in self._shown(page, sent):
                yield _event(change, self.hides_cases)
            sent = max(page.last, sent + 1)
        checked = spoken = time.monotonic()
        while self.follows and not streams.is_closing:
            self.news.clear()
            if streams.newest > sent:
                page = await streams.changes_after(sent, self.topics)
                for change in self._shown(page, sent):
                    yield _event(change, self.hides_cases)
                    spoken = time.monotonic()
                sent = page.last if page.last > sent else streams.newest
            else:
                await self._wait()
            moment = time.monotonic()
            if moment - checked >= HEARTBEAT_SECONDS:
                checked = moment
                if self._identity is not None and not await streams.in_thread(is_still_valid, self._identity):
                    return
            if moment - spoken >= HEARTBEAT_SECONDS:
                spoken = moment
                yield format_sse_event(comment="still here", id=str(sent))

    async def _wait(self) -> None:
        """Wait for news, but no longer than until the next sign of life is due."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), HEARTBEAT_SECONDS)

    def _shown(self, page: Changes, sent: int) -> list[Change]:
        return [
            change
            for change in page.changes
            if change.number > sent and change.topic in self.topics and may_see(self.reader, change.document)
        ]


class EventResponse(StreamingResponse):
    """A stream as a response: it is counted while it lasts, and ends where its client takes nothing any more."""

    # FastAPI's own EventSourceResponse takes a generator from the route, and nothing that could end it with the server.
    media_type = "text/event-stream"

    def __init__(self, streams: EventStreams, stream: _Stream) -> None:
        super().__init__(stream.events(), headers=HEADERS)
        self._streams = streams
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(SEND_SECONDS):
                await send(message)

        self._streams.add(self._stream)
        try:
            await super().__call__(scope, receive, send_in_time)
        except (TimeoutError, ClientDisconnect):
            log.info("a stream of events ended, since its client left or took nothing for %d s", SEND_SECONDS)
        finally:
            self._streams.remove(self._stream)


def _event(change: Change, hides_cases: bool) -> bytes:
    text = without_case(change.document).model_dump_json() if hides_cases else change.text
    return format_sse_event(event=str(change.topic), data_str=text, id=str(change.number))
