"""Ask the server of this machine whether it answers, in the way it is reached here: without a proxy."""

from __future__ import annotations

import http.client
import ssl

from mrseg_label.config import Settings
from mrseg_label.errors import Unavailable

SECONDS = 8.0


def check_health(settings: Settings, host: str, port: int) -> str:
    """Request ``/healthz``; returns what was found.

    The certificate is not verified: it is for the name that clients use, and this request does not leave the machine.

    Raises
    ------
    Unavailable
        The server does not answer, or not as a server of ours.
    """
    connection: http.client.HTTPConnection
    if settings.tls_certificate is None:
        address = f"http://{host}:{port}/healthz"
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    else:
        address = f"https://{host}:{port}/healthz"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no server answers at {address}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise Unavailable(f"the server at {address} answers with the status {status}; its log says why")
    return f"The server at {address} answers."
