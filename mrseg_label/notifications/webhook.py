"""Send a notification to a webhook, signed so that its receiver knows where it comes from.

References
----------
Standard Webhooks 1.0: headers ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``. https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import ssl
from urllib.parse import urlsplit

import httpx

from mrseg_label import __version__
from mrseg_label.clock import now
from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.notification_settings import NotificationSettings, check_private
from mrseg_label.notifications.message import Message

SECONDS = 10.0
_PREFIX = "whsec_"


def send(settings: NotificationSettings, message: Message) -> None:
    """Send a message to NOTIFY_WEBHOOK: directly, without a proxy, and without following redirects.

    Raises
    ------
    Unavailable, ConfigurationError
        It was not accepted; the message says why, without the path of the address, which may have a secret.
    """
    address = settings.notify_webhook or ""
    parts = urlsplit(address)
    body = json.dumps(message.document(), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"mrseg-label/{__version__}"}
    headers |= signed_headers(settings, message.id, int(now().timestamp()), body)
    try:
        if parts.scheme == "http":
            check_private(parts.hostname or "", "NOTIFY_WEBHOOK")
        with (
            httpx.Client(timeout=SECONDS, trust_env=False, verify=ssl.create_default_context()) as client,
            client.stream("POST", address, content=body, headers=headers) as reply,
        ):
            status = reply.status_code
    except (OSError, httpx.HTTPError) as error:
        reason = str(error).replace(address, "...") or type(error).__name__
        raise Unavailable(f"{parts.hostname} does not answer: {reason}") from error
    if not 200 <= status < 300:
        raise Unavailable(f"{parts.hostname} answers with the status {status}")


def signed_headers(settings: NotificationSettings, identifier: str, moment: int, body: bytes) -> dict[str, str]:
    """Return the headers that identify a message and, where there is a secret, sign it (HMAC-SHA256)."""
    headers = {"webhook-id": identifier, "webhook-timestamp": str(moment)}
    if settings.notify_webhook_secret is not None:
        key = key_of(settings.notify_webhook_secret.get_secret_value())
        digest = hmac.new(key, b".".join((identifier.encode(), str(moment).encode(), body)), hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def key_of(secret: str) -> bytes:
    """Return the key of a secret: behind ``whsec_`` it is Base64, and otherwise the text itself.

    Raises
    ------
    ConfigurationError
        What follows ``whsec_`` is not Base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ConfigurationError("NOTIFY_WEBHOOK_SECRET begins with whsec_ and is not Base64 behind that") from error
