"""What a draft is made with after the process that made it before has died, most often of exhausted memory."""

from __future__ import annotations

from dataclasses import replace

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.presegmentation.sources import without_joined


def spare(workspace: OpenedWorkspace, deaths: int) -> tuple[OpenedWorkspace, list[str]]:
    """Choose settings that need less memory.

    Parameters
    ----------
    deaths : how many processes have died of the draft. After one a single source is asked, with a single network; after
        a second the same is done on the CPU.

    Returns
    -------
    workspace : with these settings.
    sparing : what they are, in words; empty where nothing was changed.
    """
    if not deaths:
        return workspace, []
    only = without_joined(workspace.settings.bootstrap_sources)
    changes = {"mixture": "", "bootstrap_sources": only, "ensemble_drafts": "best"}
    sparing = ["by one source with one network, since the process died in an earlier attempt"]
    if deaths > 1 and workspace.settings.device != "cpu":
        changes["device"] = "cpu"
        sparing.append("on the CPU, since it died again")
    return replace(workspace, settings=workspace.settings.model_copy(update=changes)), sparing
