"""Send a notification by e-mail, through the hospital's mail server."""

from __future__ import annotations

import smtplib
import socket
import ssl
from email.message import EmailMessage

from mrseg_label.errors import Unavailable
from mrseg_label.notification_settings import NotificationSettings, check_private
from mrseg_label.notifications.message import Message

SECONDS = 15.0


def send(settings: NotificationSettings, message: Message) -> None:
    """Send a message to the addresses in NOTIFY_EMAIL.

    Raises
    ------
    Unavailable, ConfigurationError
        The mail server took it for none of them; the message says why.
    """
    host = settings.smtp_host or ""
    try:
        if settings.smtp_security == "none":
            check_private(host, "SMTP_HOST")
        with _connect(settings, host) as server:
            if settings.smtp_user is not None and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(write(settings, message))
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"the mail server {host} did not take it: {_reason(error)}") from error


def write(settings: NotificationSettings, message: Message) -> EmailMessage:
    """Write the e-mail of a message. Its Message-ID is the same with every attempt."""
    mail = EmailMessage()
    mail["Subject"] = f"mrseg-label: {message.text.partition('. ')[0].rstrip('.')}"
    mail["From"] = settings.smtp_from or settings.recipients[0]
    mail["To"] = ", ".join(settings.recipients)
    mail["Date"] = message.created
    mail["Message-ID"] = f"<{message.id}@mrseg-label.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    lines = [message.text, *([message.link] if message.link else [])]
    lines.append(f"mrseg-label on {socket.gethostname()} sends this once, to the addresses in NOTIFY_EMAIL.")
    mail.set_content("\n\n".join(lines) + "\n")
    return mail


def _connect(settings: NotificationSettings, host: str) -> smtplib.SMTP:
    if settings.smtp_security == "tls":
        return smtplib.SMTP_SSL(host, settings.smtp_port, timeout=SECONDS, context=ssl.create_default_context())
    server = smtplib.SMTP(host, settings.smtp_port, timeout=SECONDS)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
    return server


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{code} {text.decode(errors='replace')}" for code, text in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {text}"
    return str(error) or type(error).__name__
