"""Receivers of notifications: an HTTP server and a mail server on this machine, which can be told to refuse."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """What arrived, and how the next one is answered."""

    port: int = 0
    status: int = 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)


@contextmanager
def webhook() -> Iterator[Received]:
    """A receiver of webhooks. Where ``answer`` is cleared, it answers when it is set again."""
    received = Received()
    received.answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            received.arrived.set()
            received.answer.wait(30)
            self.send_response(received.status)
            if received.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        yield from _serve(server, received)


@contextmanager
def mail_server() -> Iterator[Received]:
    """A mail server (RFC 5321) that takes every mail, or answers 550 to every recipient if ``status`` is that."""
    received = Received(status=250)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 ready")
            while line := self.rfile.readline().decode().strip():
                word = line.split(":")[0].upper()
                if word == "DATA":
                    self._say("354 go on")
                    lines = []
                    while (one := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(one)
                    received.mails.append("\n".join(lines))
                elif word == "QUIT":
                    self._say("221 bye")
                    return
                self._say("550 no such user" if word == "RCPT TO" and received.status == 550 else "250 fine")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        yield from _serve(server, received)


def _serve(server: socketserver.TCPServer, received: Received) -> Iterator[Received]:
    received.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        received.answer.set()
        server.shutdown()
        thread.join()
