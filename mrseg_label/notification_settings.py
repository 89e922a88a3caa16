"""Settings of notifications: a webhook, e-mail addresses and the hospital's mail server."""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from mrseg_label.errors import ConfigurationError


class NotificationSettings(BaseSettings):
    """Where administrators are told that something needs their attention, beside the dashboard."""

    notify_webhook: str | None = Field(
        None, description="address that is sent each notification: https, or http within the private network"
    )
    notify_webhook_secret: SecretStr | None = Field(
        None, description="secret with which what is sent to NOTIFY_WEBHOOK is signed"
    )
    notify_email: str = Field("", description="e-mail addresses that are sent each notification, separated by commas")
    smtp_host: str | None = Field(None, description="mail server of the hospital")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail server")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="how the connection to the mail server is encrypted; none only within the private network",
    )
    smtp_user: str | None = Field(None, description="account at the mail server, if it needs one")
    smtp_password: SecretStr | None = Field(None, description="password of that account")
    smtp_from: str | None = Field(None, description="sender of the e-mails; the first recipient by default")

    @property
    def recipients(self) -> list[str]:
        """The addresses in NOTIFY_EMAIL, each once."""
        return list(dict.fromkeys(part.strip() for part in self.notify_email.split(",") if part.strip()))


def check_notification_settings(settings: NotificationSettings) -> None:
    """Check the settings of notifications without asking anybody.

    Raises
    ------
    ConfigurationError
        One of them cannot work; the message names it.
    """
    if settings.notify_webhook is not None:
        parts = urlsplit(settings.notify_webhook)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or not settings.notify_webhook.isprintable()
        ):
            raise ConfigurationError(
                f"NOTIFY_WEBHOOK: {without_secrets(settings.notify_webhook)!r} is not an address such as https://chat.hospital.example/hooks/mrseg, "
                "without a name or a password in it"
            )
    if settings.notify_webhook is None and settings.notify_webhook_secret is not None:
        raise ConfigurationError("NOTIFY_WEBHOOK_SECRET is set, but not NOTIFY_WEBHOOK; set both, or neither")
    if settings.recipients and settings.smtp_host is None:
        raise ConfigurationError("NOTIFY_EMAIL needs SMTP_HOST: the name of the hospital's mail server")
    for address in [*settings.recipients, *filter(None, [settings.smtp_from])]:
        name, _, domain = address.rpartition("@")
        if (
            not name
            or not domain
            or not address.isascii()
            or not address.isprintable()
            or any(c in address for c in " <>,;")
        ):
            raise ConfigurationError(
                f"{address[:80]!r} is not an e-mail address such as it@hospital.example (NOTIFY_EMAIL, SMTP_FROM)"
            )
    if (settings.smtp_user is None) != (settings.smtp_password is None):
        raise ConfigurationError(
            "SMTP_USER and SMTP_PASSWORD belong together and only one is set; set both, or neither"
        )


def check_private(host: str, setting: str) -> None:
    """Check that a host, to which nothing is encrypted, is on this machine or in the private network.

    Raises
    ------
    ConfigurationError
        One of its addresses is public.
    OSError
        The name is not known.
    """
    found = {str(address[4][0]) for address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    public = sorted(address for address in found if not ipaddress.ip_address(address.partition("%")[0]).is_private)
    if public:
        raise ConfigurationError(
            f"{setting}: {host} has the public address {public[0]}, and nothing may leave the hospital unencrypted; "
            f"{'set SMTP_SECURITY to starttls or tls' if setting == 'SMTP_HOST' else 'use https'}"
        )


def without_secrets(address: str) -> str:
    """Return the address of a webhook as it may be shown: its path often has a secret."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" + (
        "/..." if parts.path.strip("/") or parts.query else ""
    )
