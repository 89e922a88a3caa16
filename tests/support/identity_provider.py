"""A hospital's identity provider in a process of its own: Canaille, with its data in memory, on loopback.

https://canaille.readthedocs.io/
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from mrseg_label.simulation.server import free_port
from tests.support.paths import ROOT

PASSWORD = "the hospital's own secret"
CLIENT_ID, CLIENT_SECRET = "mrseg-label", "between-the-provider-and-this-server"


class IdentityProvider:
    """Runs until the end of its ``with`` block, and takes users and the client over its standard input."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> IdentityProvider:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.identity_provider", str(self.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                cwd=ROOT,
                # By default it publishes https addresses, but it has no certificate.
                env={**os.environ, "PREFERRED_URL_SCHEME": "http"},
            )
        for _ in range(240):
            try:
                if httpx.get(f"{self.url}/.well-known/openid-configuration", trust_env=False).is_success:
                    return self
            except httpx.TransportError:
                pass
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.25)
        raise AssertionError(f"the identity provider does not answer: {self._log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def register_client(self, redirect_uri: str) -> None:
        """Register the annotation server, or one more address of it."""
        self._send_command({"redirect_uri": redirect_uri})

    def set_user(self, name: str, *groups: str, called: str | None = None) -> str:
        """Create a user if needed, and make them a member of exactly these groups; returns the name.

        ``called`` is what the provider tells others as the name; empty: it tells none.
        """
        self._send_command({"user": name, "groups": groups, "called": called})
        return name

    def _send_command(self, command: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        # Canaille prints lines about security between ours.
        assert "done\n" in iter(self._process.stdout.readline, ""), self._log.read_text()

    def sign_in(self, browser: httpx.Client, address: str, name: str, answer: str = "accept") -> str:
        """Fill in the provider's forms as a user does; returns the address to which it sends the browser back."""
        reply = browser.get(address)
        for _ in range(12):
            if reply.is_redirect:
                target = str(reply.next_request.url) if reply.next_request else ""
                if not target.startswith(self.url):
                    return target
                reply = browser.get(target)
                continue
            assert reply.status_code == 200, f"{reply.status_code} {reply.text[-2000:]}"
            fields = dict(re.findall(r'<input[^>]*name="(csrf_token)"[^>]*value="([^"]*)"', reply.text))
            if 'name="password"' in reply.text:
                fields["password"] = PASSWORD
            elif 'name="login"' in reply.text:
                fields["login"] = name
            elif 'name="answer"' in reply.text:
                fields["answer"] = answer
            else:
                raise AssertionError(f"an unknown page: {reply.text[:2000]}")
            reply = browser.post(str(reply.url), data=fields)
        raise AssertionError("the provider's redirects do not end")


def main(port: int) -> None:
    """Run the provider."""
    from canaille.app import models
    from canaille.backends import Backend
    from canaille.backends.memory.backend import MemoryBackend
    from canaille.hypercorn.app import create_app
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = {
        "SECRET_KEY": "secret of the tests' provider",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {
            "DATABASE": "memory",
            "CAPTCHA_ENABLED": False,
            "JAVASCRIPT": False,
            "HTMX": False,
            "LANGUAGE": "en",
            "SMTP": None,
        },
        "CANAILLE_OIDC": {
            "TRUSTED_DOMAINS": [],
            "USERINFO_MAPPING": {
                "PREFERRED_USERNAME": "{{ called.get(user.user_name, user.user_name) | safe }}",
                "SUB": "{{ user.identifier }}-id",
            },
        },
        "CANAILLE_HYPERCORN": {},
    }
    match_any_filter = MemoryBackend.do_query

    def match_every_filter(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        # As in its SQL storage. The storage in memory returns what matches any one of the filters, so that any code of
        # a client would be accepted for any other, and one user's consent for all.
        found = [
            {item.id: item for item in match_any_filter(self, model, **{key: value})} for key, value in kwargs.items()
        ]
        if not found:
            return match_any_filter(self, model, *args)
        return [item for key, item in found[0].items() if all(key in other for other in found[1:])]

    MemoryBackend.do_query = match_every_filter
    application = create_app(config=config, backend=None, env_file=None, wrap_asgi=False)
    called: dict[str, str] = {}
    application.jinja_env.globals["called"] = called

    def carry_out(command: dict[str, Any]) -> None:
        known = Backend.instance.get(models.Client, client_id=CLIENT_ID)
        if "redirect_uri" in command and known is not None:
            known.redirect_uris = [*known.redirect_uris, command["redirect_uri"]]
            Backend.instance.save(known)
            return
        if "redirect_uri" in command:
            made = models.Client(
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
                client_name="MR annotation",
                client_uri="https://mrseg.hospital.example",
                redirect_uris=[command["redirect_uri"]],
                grant_types=["authorization_code"],
                response_types=["code"],
                scope=["openid", "profile", "groups"],
                token_endpoint_auth_method="client_secret_basic",
            )
            Backend.instance.save(made)
            made.audience = [made]
            Backend.instance.save(made)
            return
        if command["called"] is not None:
            called[command["user"]] = command["called"]
        user = Backend.instance.get(models.User, user_name=command["user"])
        if user is None:
            user = models.User(
                user_name=command["user"],
                formatted_name=command["user"].title(),
                family_name=command["user"],
                emails=[f"{command['user']}@hospital.example"],
                password=PASSWORD,
            )
        user.groups = []
        Backend.instance.save(user)
        for name in command["groups"]:
            group = Backend.instance.get(models.Group, display_name=name)
            if group is None:
                group = models.Group(display_name=name)
            group.members = [*(group.members or []), user]
            Backend.instance.save(group)

    def listen() -> None:
        for line in sys.stdin:
            with application.app_context(), Backend.instance.session():
                carry_out(json.loads(line))
            print("done", flush=True)

    threading.Thread(target=listen, daemon=True).start()
    settings = Config()
    settings.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(application, settings))


if __name__ == "__main__":
    main(int(sys.argv[1]))
