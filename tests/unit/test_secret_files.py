"""A variable ``MRSEG_<KEY>_FILE`` names a file that holds the value of a setting: secrets of containers and systemd."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError
from mrseg_label.paths import configured_url


def test_settings_are_read_from_the_files_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("a secret of a/b@c\n")
    (tmp_path / "size").write_text("7\n")
    (tmp_path / "mrseg.toml").write_text('ROUND_SIZE = 3\nOIDC_CLIENT_SECRET = "of the file"\n')
    monkeypatch.setenv("MRSEG_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("MRSEG_ROUND_SIZE_FILE", str(tmp_path / "size"))
    settings = load_settings(tmp_path)
    assert settings.round_size == 7
    assert settings.oidc_client_secret is not None and settings.oidc_client_secret.get_secret_value() == "of the file"
    assert settings.database_password is not None and "secret of a" not in repr(settings)
    url = configured_url("postgresql://mrseg@database/mrseg", settings.database_password.get_secret_value())
    assert url.password == "a secret of a/b@c" and url.host == "database"
    assert make_url(url.render_as_string(hide_password=False)) == url


def test_what_cannot_be_meant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, why in (
        ("postgresql://u:p@h/d", "contains a password too"),
        ("sqlite:////d.db", "SQLite has no passwords"),
    ):
        with pytest.raises(ConfigurationError, match=f"DATABASE_PASSWORD cannot be used: .*{why}"):
            configured_url(url, "x")
    monkeypatch.setenv("MRSEG_DATABASE_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(
        ConfigurationError, match=f"MRSEG_DATABASE_PASSWORD_FILE names {tmp_path}/none, which cannot be"
    ):
        load_settings(tmp_path)
    monkeypatch.setenv("MRSEG_DATABASE_PASSWORD", "x")
    with pytest.raises(ConfigurationError, match="MRSEG_DATABASE_PASSWORD and .*_FILE are both set"):
        load_settings(tmp_path)
    monkeypatch.delenv("MRSEG_DATABASE_PASSWORD_FILE")
    monkeypatch.setenv("MRSEG_DATABASE_PASWORD_FILE", "x")
    with pytest.raises(ConfigurationError, match="no such setting: MRSEG_DATABASE_PASWORD_FILE"):
        load_settings(tmp_path)
