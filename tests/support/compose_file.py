"""What ``docker-compose.yml`` and ``Dockerfile`` say, read as Docker reads them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

COMPOSE, DOCKERFILE = ROOT / "docker-compose.yml", ROOT / "Dockerfile"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?+])([^{}$]*))?\}")


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``${NAME}``, ``${NAME:-default}``, ``${NAME:+instead}`` and ``${NAME:?message}``, also one in another."""

    def value(found: re.Match[str]) -> str:
        name, kind, other = found.groups()
        given = environment.get(name, "")
        if kind == "?" and not given:
            raise KeyError(f"{name}: {other}")
        if kind == "+":
            return str(other) if given else ""
        return given or (other if kind == "-" else "")

    while (replaced := _VARIABLE.sub(value, text)) != text:
        text = replaced
    return text


def read_compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with the values of a ``.env``."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        return interpolate(value, environment) if isinstance(value, str) else value

    document: dict[str, Any] = filled(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))
    return document


@dataclass(frozen=True)
class Image:
    """What a Dockerfile says of its last stage."""

    entrypoint: list[str]
    command: list[str]
    health: list[str]
    user: str
    folder: str
    environment: dict[str, str]


def read_dockerfile() -> Image:
    """The image of this project."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    last = text[text.rindex("\nFROM ") :].splitlines()
    lines: dict[str, str] = {}
    for line in last:
        word, _, rest = line.partition(" ")
        if word in ("ENTRYPOINT", "CMD", "USER", "WORKDIR", "ENV", "HEALTHCHECK"):
            lines[word] = rest.strip()
    return Image(
        json.loads(lines["ENTRYPOINT"]),
        json.loads(lines["CMD"]),
        json.loads(lines["HEALTHCHECK"].partition("CMD ")[2]),
        lines["USER"],
        lines["WORKDIR"],
        dict(part.split("=", 1) for part in shlex.split(lines["ENV"])),
    )


@dataclass(frozen=True)
class Service:
    """A service of the compose file, with what its image adds."""

    name: str
    argv: list[str]
    health: list[str] | None
    environment: dict[str, str]
    user: str
    folder: str
    hostname: str
    is_ours: bool
    entry: dict[str, Any]

    def address_in(self, network: str) -> str | None:
        """The fixed address of the service in a network, if it has one."""
        networks = self.entry["networks"]
        return (networks[network] or {}).get("ipv4_address") if isinstance(networks, dict) else None


def service_of(document: Mapping[str, Any], name: str, command: list[str] | None = None) -> Service:
    """A service with its command, or with one that is given to ``docker compose run``."""
    entry = document["services"][name]
    is_ours = entry["image"].startswith("mrseg-label:")
    image = read_dockerfile()
    entrypoint = entry.get("entrypoint", image.entrypoint if is_ours else [])
    own_command = entry.get("command", image.command if is_ours and "entrypoint" not in entry else [])
    check = entry.get("healthcheck", {})
    test = check.get("test")
    health = None
    if test:
        health = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    elif is_ours and not check.get("disable"):
        health = image.health
    return Service(
        name,
        [*entrypoint, *(own_command if command is None else command)],
        health,
        (image.environment if is_ours else {})
        | {key: str(value) for key, value in (entry.get("environment") or {}).items()},
        str(entry.get("user", image.user if is_ours else "0:0")),
        image.folder if is_ours else "/",
        str(entry.get("hostname", name)),
        is_ours,
        entry,
    )


def source_of(document: Mapping[str, Any], volume: str, volumes: Path) -> tuple[Path, str, bool]:
    """Where a volume lies on this machine, where the container sees it, and whether it may only read it."""
    source, target, *options = volume.split(":")
    named = source in document["volumes"]
    return (volumes / source if named else (ROOT / source).resolve(), target, "ro" in options)
