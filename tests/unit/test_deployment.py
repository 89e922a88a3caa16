"""What is deployed can be started: compose file, Dockerfile, proxy, units of systemd and scripts of Slurm."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer.main
import yaml
from cryptography import x509

from mrseg_label.cli import app
from mrseg_label.config import Settings
from tests.support.certificates import make_authority
from tests.support.compose_file import interpolate, read_compose, read_dockerfile, service_of
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".timer"))
ENVIRONMENT = {"PUBLIC_URL": "https://pacs.example/mrseg"}
EXPOSED_AT_MOST = 2.0  # of 10, as systemd-analyze counts; 9.6 without any hardening


def require(name: str, variable: str) -> str:
    """Path of a program; without it the test is skipped, unless CI says that it must be there."""
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get(variable), f"{name} is not installed"
        pytest.skip(f"{name} is not installed")
    return found


def parse(words: list[str]) -> None:
    """Have the command line parse a command without running it: a wrong option is an error."""
    group = typer.main.get_command(app)
    name, *rest = words
    group.commands[name].make_context(name, list(rest))  # type: ignore[attr-defined]


def test_variables_are_replaced_as_compose_does() -> None:
    text = "${A:-1}.10${B:+,${B}}"
    assert interpolate(text, {}) == "1.10"
    assert interpolate(text, {"A": "2", "B": "3"}) == "2.10,3"
    with pytest.raises(KeyError, match="PUBLIC_URL"):
        read_compose({})


def test_the_compose_file_starts_what_is_there() -> None:
    document = read_compose(ENVIRONMENT)
    known = {f"MRSEG_{name.upper()}{end}" for name in Settings.model_fields for end in ("", "_FILE")}
    ours = [service_of(document, name) for name in document["services"]]
    assert {one.name for one in ours} == {
        "server-1", "server-2", "proxy", "cli", "scheduler", "worker", "gpu-worker", "database",
    }  # fmt: skip
    for one in ours:
        assert one.entry["read_only"] and one.entry["cap_drop"] == ["ALL"], one.name
        assert "no-new-privileges:true" in one.entry["security_opt"], one.name
        assert not one.entry.get("privileged") and "network_mode" not in one.entry, one.name
        if one.name != "database":  # whose image gives up being root by itself
            assert int(one.user.partition(":")[0]) > 0, one.name
        if one.is_ours:
            given = set(one.entry.get("environment") or {})
            assert given <= known | {"TOTALSEG_WEIGHTS_PATH"}
            assert "MRSEG_AUTH" not in given  # on, as it is by default
            if one.argv[0] == "mrseg-label":
                parse(one.argv[1:])
        assert one.health or one.name in ("cli", "worker", "gpu-worker"), one.name
    published = {one.name: one.entry["ports"] for one in ours if "ports" in one.entry}
    assert published == {"proxy": ["127.0.0.1:443:8443"]}
    # A server that starts takes over what died under its own host name.
    assert len({one.hostname for one in ours}) == len(ours)
    parse(read_dockerfile().command)
    parse(read_dockerfile().health[1:])


def test_no_secret_stands_in_the_environment() -> None:
    given = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert "PUBLIC_URL" in given and not [name for name in given if re.search("PASSWORD|KEY|TOKEN", name)]
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(given) == set(re.findall(r"\$\{([A-Z_]+)", text))
    document = read_compose(ENVIRONMENT)
    for name in document["services"]:
        for key, value in service_of(document, name).environment.items():
            assert "PASSWORD" not in key or value == "/run/secrets/database_password", name


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    program = require("nginx", "REQUIRE_NGINX")
    _, certificate, key = make_authority(tmp_path, [x509.DNSName("localhost")])
    text = (DEPLOY / "nginx" / "nginx.conf").read_text()
    changes = {
        "/tmp/": f"{tmp_path}/",
        "/run/secrets/tls_certificate": str(certificate),
        "/run/secrets/tls_key": str(key),
        "upstream-1:": "127.0.0.1:",
        "upstream-2:": "127.0.0.2:",
    }
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "nginx.conf").write_text(text)
    command = [program, "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "[warn]" not in done.stderr, done.stderr


def test_nginx_takes_what_the_guides_say(tmp_path: Path) -> None:
    program = require("nginx", "REQUIRE_NGINX")
    for guide, count in (("deployment.md", 1), ("sign-in.md", 2)):
        text = (ROOT / "docs" / guide).read_text()
        blocks = re.findall(r"^( *)(location \S+ \{\n(?:.*\n)*?)\1\}", text, re.MULTILINE)
        assert len(blocks) == count, guide
        for _, block in blocks:
            server = f"server {{ listen 127.0.0.1:8443;\n{block}}} }}\n"
            (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ {server} }}\n")
            command = [program, "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def test_the_guides_extend_services_that_are_there() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    [block] = re.findall(r"^    # docker-compose\.override\.yml.*\n((?:    .*\n)+)", text, re.MULTILINE)
    override = yaml.safe_load(textwrap.dedent(block))
    assert set(override["services"]) <= set(read_compose(ENVIRONMENT)["services"])
    known = {f"MRSEG_{name.upper()}{end}" for name in Settings.model_fields for end in ("", "_FILE")}
    for service in override["services"].values():
        assert set(service["environment"]) <= known | {"SSL_CERT_FILE"}
        assert set(service["secrets"]) == set(override["secrets"])


def test_systemd_takes_the_units_and_they_are_hardened(tmp_path: Path) -> None:
    program = require("systemd-analyze", "REQUIRE_SYSTEMD")
    for unit in UNITS:
        text = unit.read_text()
        for line in re.findall(r"^ExecStart=/opt/mrseg/bin/mrseg-label (.+)$", text, re.MULTILINE):
            parse(shlex.split(line))
        (tmp_path / unit.name).write_text(text.replace("/opt/mrseg/bin/", f"{Path(sys.executable).parent}/"))
    names = [f"./{unit.name}" for unit in UNITS]
    done = subprocess.run([program, "verify", *names], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    for name in (name for name in names if name.endswith(".service")):
        command = [program, "security", "--offline=yes", "--no-pager", name]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
        assert level is not None and float(level[1]) <= EXPOSED_AT_MOST, shown
