"""A hospital's proxy, which serves this server under a path of a host that has other applications too."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PREFIX = "/mrseg"
OTHER = b"another application of the hospital"
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade")


@dataclass
class Proxy:
    """A proxy that listens already; ``upstream`` is the address of the server behind it.

    Attributes
    ----------
    strips : whether it removes its path from addresses, as nginx with a slash after ``proxy_pass`` does.
    keeps_host : whether it passes on the browser's Host.
    headers : further headers that it sends.
    astray : requests for other applications of the host, which no page of ours may lead to.
    """

    port: int
    upstream: str = ""
    strips: bool = True
    keeps_host: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    astray: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Address of the server as browsers know it."""
        return self.origin + PREFIX


@contextmanager
def path_proxy() -> Iterator[Proxy]:
    """Run a proxy on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            self.close_connection = True
            # With a GET, Slicer's module states the length of its last body and sends none: no proxy may wait for it.
            sends_body = self.command in ("PUT", "POST")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if sends_body else b""
            if not f"{urlsplit(self.path).path}/".startswith(f"{PREFIX}/"):
                proxy.astray.append(f"{self.command} {self.path}")
                self.send_response(404)
                self.send_header("Connection", "close")
                self.send_header("Content-Length", str(len(OTHER)))
                self.end_headers()
                self.wfile.write(OTHER)
                return
            target = self.path.removeprefix(PREFIX) if proxy.strips else self.path
            target = target if target.startswith("/") else f"/{target}"
            left_out = (*_HOP_BY_HOP, "content-length")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
            if not proxy.keeps_host:
                del headers["Host"]
            connection = http.client.HTTPConnection(urlsplit(proxy.upstream).netloc, timeout=60)
            connection.request(self.command, target, body or None, headers | proxy.headers)
            reply = connection.getresponse()
            content = reply.read()
            connection.close()
            self.send_response_only(reply.status)
            self.send_header("Connection", "close")
            for name, value in reply.getheaders():
                if name.lower() not in left_out:
                    self.send_header(name, value)
            self.send_header("Content-Length", reply.getheader("Content-Length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815 - as the standard library calls them

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
