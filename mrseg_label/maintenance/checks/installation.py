"""Checks of what is installed: Python, the packages, the GPU, the networks and their weights."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from mrseg_label.errors import MrsegError
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.nnunet.environment import available_cores
from mrseg_label.presegmentation.installed import WeightsState, installed_networks
from mrseg_label.presegmentation.networks import TOTAL_FAST
from mrseg_label.presegmentation.sources import CONTRAST_ADVICE, sources_in_use
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.workspace import Workspace

DISTRIBUTION = "mrseg-label"
# Their versions are shown; all other requirements are checked as well.
SHOWN = ("torch", "monai", "monailabel", "nnunetv2", "TotalSegmentator", "SimpleITK", "sqlalchemy", "fastapi")


def check_installation() -> Iterator[Check]:
    """Check Python, the packages and the GPU."""
    yield Check(
        "python",
        State.OK,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {available_cores()} cores",
    )
    yield check_packages()
    yield check_gpu()


def check_packages() -> Check:
    """Check that every requirement is installed in a version that fits."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Check("packages", State.FAILED, f"{DISTRIBUTION} is not installed", "run: uv sync --frozen")
    wrong = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        advice = "run: uv sync --frozen (a plain pip install takes other versions)"
        return Check("packages", State.FAILED, "; ".join(wrong), advice)
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)
    return Check("packages", State.OK, f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)} with {shown}")


def check_gpu() -> Check:
    """Check whether the machine has a GPU, and whether torch can use it."""
    tool = shutil.which("nvidia-smi")
    listed = _output([tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]) if tool else None
    if not listed:
        advice = "drafts and rounds run on the CPU; TRAINING_PROFILE full needs a GPU"
        return Check("gpu", State.WARNING, "none found", advice)
    usable = _output([sys.executable, "-c", "import torch; print(torch.cuda.is_available())"])
    if usable != "True":
        advice = "update the driver, or install torch for the driver's CUDA version"
        return Check("gpu", State.FAILED, f"{listed}, but torch cannot use it", advice)
    return Check("gpu", State.OK, "; ".join(listed.splitlines()))


def check_networks(workspace: Workspace) -> Iterator[Check]:
    """Check the networks that make drafts until a round has trained a model, and list all of them."""
    if workspace.settings.presegmentation == "off":
        yield Check("weights", State.OK, "none are needed, since PRESEGMENTATION is off")
        return
    sources = list(check_sources(workspace))
    if not any(check.name == f"source {TOTAL_FAST.name}" and check.detail.endswith("not in use") for check in sources):
        yield check_weights(workspace.settings.totalseg_weights_path)
    yield from sources


def check_weights(configured: Path | None) -> Check:
    """Check which weights TotalSegmentator uses.

    Parameters
    ----------
    configured : TOTALSEG_WEIGHTS_PATH of the workspace, if it is set.
    """
    try:
        found = find_weights(configured)
    except MrsegError as error:
        return Check("weights", State.FAILED, str(error))
    state = State.WARNING if found.advice else State.OK
    return Check("weights", state, f"{found.kind}: {found.description}", found.advice)


def check_sources(workspace: Workspace) -> Iterator[Check]:
    """List the published networks that can make drafts, with their weights and licences, and what rests on little."""
    settings = workspace.settings
    try:
        chosen = [source for _, source in sources_in_use(settings.bootstrap_sources)]
    except MrsegError:  # the checks of settings report it
        chosen = []
    used = {source.network for source in chosen}
    for one in installed_networks(settings):
        in_use = one.network.name in used
        where = f" in {shown_path(workspace, one.path)}" if one.path is not None else ""
        state = State.WARNING if in_use and one.state is not WeightsState.FOUND else State.OK
        detail = f"{one.facts}{where}; {'in use' if in_use else 'not in use'}"
        yield Check(
            f"source {one.network.name}", state, detail, None if one.state is WeightsState.STAND_IN else one.advice
        )
    if any(source.is_for_ct for source in chosen) and not settings.bootstrap_sources:
        yield Check("sources", State.WARNING, CONTRAST_ADVICE)


def shown_path(workspace: Workspace, path: Path) -> str:
    """Return a path relative to the workspace where it lies in it."""
    return str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
