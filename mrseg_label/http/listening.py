"""Take the address of a server before anything else starts, and say when it answers."""

from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Callable
from contextlib import ExitStack

import anyio.to_thread
import uvicorn

from mrseg_label.errors import ConfigurationError, Unavailable

BACKLOG = 2048  # as uvicorn's own
_REASONS = {
    errno.EADDRINUSE: "is in use by another program, perhaps another mrseg-label; stop it, or choose another with --port",
    errno.EACCES: "may be used by root only; choose one from 1024 on with --port",
    errno.EPERM: "may be used by root only; choose one from 1024 on with --port",
}


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on an address, or on each address that a name has.

    A client that connects before the application is ready waits, and a second server fails here, before it has
    touched the workspace.

    Raises
    ------
    Unavailable
        The port is taken.
    ConfigurationError
        The host is no address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"--host {host}: no such address is known; give one of this machine") from error
    with ExitStack() as opened:
        listening = []
        missing: OSError | None = None
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = opened.enter_context(socket.socket(family, kind, protocol))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind(address)
                one.listen(BACKLOG)
            except OSError as error:
                if error.errno in _REASONS:
                    raise Unavailable(f"port {port} of {host} {_REASONS[error.errno]}") from error
                missing = error  # a machine may have names for addresses of IPv6 without having any
            else:
                listening.append(one)
        if not listening:
            raise ConfigurationError(f"--host {host} is not an address of this machine: {missing}")
        opened.pop_all()
        return listening


class Server(uvicorn.Server):
    """uvicorn's server, which says when it answers, when it begins to end and when it has ended."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_end: Callable[[], None],
        on_ended: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_ended = on_ended

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then say so."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            # What is loaded by now stays. Were it looked through with every full collection, all requests would wait that long.
            gc.collect()
            gc.freeze()
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the requests under way and the application, and say so before and after."""
        await anyio.to_thread.run_sync(self._on_end)
        await super().shutdown(sockets)
        # Here and not behind `run`, whose last act is to let the signal that ended it end this process.
        await anyio.to_thread.run_sync(self._on_ended)
