"""Which networks can make drafts here: whether their weights are in place, and how to put them there. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError, MrsegError, Unavailable
from mrseg_label.presegmentation.mrsegmentator import HOW_TO_INSTALL, find_mrsegmentator, mrsegmentator_conventions
from mrseg_label.presegmentation.networks import NETWORKS, TOTAL_FAST, Network, TotalSegmentatorNetwork
from mrseg_label.presegmentation.weights import WeightsKind, find_weights, how_to_install
from mrseg_label.workspace import Workspace


class WeightsState(StrEnum):
    """Whether a network's weights are in place."""

    FOUND = "found"
    STAND_IN = "stand-in"
    MISSING = "missing"


@dataclass(frozen=True)
class InstalledNetwork:
    """A published network as it is installed here.

    Attributes
    ----------
    state : of its weights.
    path : the folder that holds them; None if they are missing.
    problem : why they are missing.
    advice : how to put the published weights in place; None if they are there.
    """

    network: Network
    state: WeightsState
    path: Path | None = None
    problem: str | None = None
    advice: str | None = None

    @property
    def facts(self) -> str:
        """One line for people, without folders of this machine: what it was trained on, its licence, its weights."""
        known = "MR and CT" if self.network.trained_on_mr else "CT"
        return (
            f"{self.network.title}, trained on {known} in {self.network.orientation}, licence {self.network.licence}; "
            f"weights {self.state}"
        )


def installed_networks(settings: Settings) -> list[InstalledNetwork]:
    """List all published networks, and whether their weights are in place."""
    return [installed(network, settings) for network in NETWORKS.values()]


def installed(network: Network, settings: Settings) -> InstalledNetwork:
    """Look for the weights of a network."""
    try:
        if isinstance(network, TotalSegmentatorNetwork):
            weights = find_weights(settings.totalseg_weights_path, network)
            state = WeightsState.STAND_IN if weights.kind is WeightsKind.STAND_IN else WeightsState.FOUND
            return InstalledNetwork(network, state, weights.path, advice=weights.advice)
        return InstalledNetwork(network, WeightsState.FOUND, find_mrsegmentator(settings.weights_path))
    except MrsegError as error:
        advice = how_to_install(network) if isinstance(network, TotalSegmentatorNetwork) else HOW_TO_INSTALL
        problem = str(error).replace(advice, "").strip()
        return InstalledNetwork(network, WeightsState.MISSING, problem=problem, advice=advice)


def require_network(workspace: Workspace, name: str) -> None:
    """Check that a network can make drafts.

    Parameters
    ----------
    name : as a source names it: a published network, or a model version of the workspace.

    Raises
    ------
    ConfigurationError
        Its weights are not where the settings say, or are others, or nobody installed them; or there is no such version.
    Unavailable
        The stand-in for TotalSegmentator's weights is not part of this installation.
    """
    network = NETWORKS.get(name)
    if network is None:
        if not workspace.path(f"models/{name.removeprefix('model:')}").is_dir():
            raise ConfigurationError(
                f"there is no model version {name.removeprefix('model:')!r}; `mrseg-label models list` shows those that "
                "exist, and BOOTSTRAP_SOURCES must name one of them"
            )
        return
    try:
        if isinstance(network, TotalSegmentatorNetwork):
            find_weights(workspace.settings.totalseg_weights_path, network)
        else:
            mrsegmentator_conventions(find_mrsegmentator(workspace.settings.weights_path), workspace.scheme)
    except Unavailable as error:
        if network is TOTAL_FAST:  # nobody chose it
            raise
        raise ConfigurationError(f"BOOTSTRAP_SOURCES names {name}, but {error}") from error
