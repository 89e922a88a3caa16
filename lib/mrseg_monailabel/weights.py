"""Which weights make the drafts, in words for the radiologist."""

from __future__ import annotations

from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.errors import MrsegError
from mrseg_label.presegmentation.weights import WeightsKind, find_weights
from mrseg_label.workspace import Workspace

STAND_IN = (
    "stand-in weights for TotalSegmentator, trained on synthetic phantoms and of no use for patients; "
    "'mrseg-label doctor' says how to install the published ones"
)
PUBLISHED = "TotalSegmentator's published weights"
OWN = "weights trained on the corrections of this workspace"


def weights_in_use(workspace: Workspace, version: str) -> str:
    """Words on the weights behind a model version; folders of the server stay out of them."""
    if version != BOOTSTRAP:
        return OWN
    try:
        weights = find_weights(workspace.settings.totalseg_weights_path)
    except MrsegError:
        return "no weights are installed, so that no draft can be made; 'mrseg-label doctor' says what is missing"
    return STAND_IN if weights.kind is WeightsKind.STAND_IN else PUBLISHED
