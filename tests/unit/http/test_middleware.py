"""The middleware stack: its order, and the proxies that it trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.config import trusted_proxies
from mrseg_label.errors import ConfigurationError
from mrseg_label.http.middleware import middleware_stack
from mrseg_label.http.permission_table import permission_table
from mrseg_label.workspace import Workspace


def stack(folder: Path, settings_text: str, *, signs_in: bool) -> list[str]:
    Workspace.init(folder / "ws", settings_text=settings_text)
    workspace = open_workspace(folder / "ws")
    try:
        sign_in = SignIn(workspace.catalog, 1.0) if signs_in else None
        made = middleware_stack(workspace.settings, workspace.catalog, sign_in, permission_table())
        return [getattr(item.cls, "__name__", "") for item in made]
    finally:
        workspace.catalog.close()


def test_requests_get_their_id_first_and_are_limited_last(tmp_path: Path) -> None:
    assert stack(tmp_path, "", signs_in=True) == [
        "RequestIdMiddleware",
        "PublicAddressMiddleware",
        "SecurityHeadersMiddleware",
        "HeadMiddleware",
        "AuthenticationMiddleware",
        "OidcStateMiddleware",
        "LimitsMiddleware",
        "TrailingSlashMiddleware",
    ]


def test_forwarding_headers_are_read_before_the_peer_is_checked(tmp_path: Path) -> None:
    made = stack(tmp_path, 'TRUSTED_PROXIES = "10.1.2.3"\n', signs_in=True)
    assert made[:2] == ["RequestIdMiddleware", "ProxyHeadersMiddleware"]
    assert made.index("AuthenticationMiddleware") > 2


def test_without_sign_in_no_forwarding_header_is_believed(tmp_path: Path) -> None:
    made = stack(tmp_path, 'AUTH = "off"\nTRUSTED_PROXIES = "10.1.2.3"\n', signs_in=False)
    assert made == [
        "RequestIdMiddleware",
        "PublicAddressMiddleware",
        "SecurityHeadersMiddleware",
        "LocalOnlyMiddleware",
        "HeadMiddleware",
        "LimitsMiddleware",
        "TrailingSlashMiddleware",
    ]


def test_proxies_are_addresses_or_networks() -> None:
    assert trusted_proxies(" 10.1.2.3, fd00::/8 ,") == ["10.1.2.3", "fd00::/8"]
    assert trusted_proxies("") == trusted_proxies(" , ") == []


@pytest.mark.parametrize("text", ["*", "proxy.hospital", "10.1.2.3/33", "10.1.2.3/24", "10.1.2.3 10.1.2.4"])
def test_other_texts_name_no_proxy(text: str) -> None:
    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES.*is not an address or network"):
        trusted_proxies(text)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.1.2.3, 0.0.0.0/0"])
def test_a_network_of_all_addresses_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="covers every address"):
        trusted_proxies(text)
