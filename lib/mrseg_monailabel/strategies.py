"""MONAI Label's strategies over the worklist, which chooses the next case."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.worklist import service as worklist
from mrseg_monailabel.params import reader_of

# In the order in which Slicer lists them; it preselects the first.
DESCRIPTIONS = {
    "balanced": "rarest station, sequence and participant first",
    "uncertainty": "cases first whose draft is least sure",
    "sequential": "in the order of import",
    "random": "in random order",
}


class WorklistStrategy(Strategy):
    """One strategy of the worklist."""

    def __init__(self, name: str, workspace: OpenedWorkspace) -> None:
        super().__init__(DESCRIPTIONS[name])
        self.name = name
        self._workspace = workspace

    def info(self) -> dict[str, Any]:
        """Describe the strategy; Slicer reads its ``config``, which is empty."""
        return {"description": self.description, "config": {}}

    def __call__(self, request: dict[str, Any], _datastore: Any = None) -> dict[str, Any]:
        """Assign the next case; empty when none is left.

        ``path`` is left out on purpose: Slicer would open it if it exists on the reader's own machine.
        """
        reader = reader_of(request)
        case = worklist.assign_next_case(self._workspace, reader, self.name)
        if case is None:
            return {}
        sample: dict[str, Any] = {
            # Slicer downloads the image without its sign-in token: the ticket identifies the reader.
            "id": case.examination_id if reader.account is None else case.ticket,
            "name": case.file_name,
            "checksum": f"SHA256:{case.digest}",
            "strategy": {self.name: {"client_id": reader.client}},
            "reason": case.reason,
        }
        if case.annotation_id is not None:  # infer sends that mask; Slicer shows none of the three, other clients may
            sample |= {"annotation": case.annotation_id, "comment": case.comment}
            sample["revision"] = case.annotation_id  # deprecated: the same as annotation
        if case.comment:
            sample["description"] = f"sent back to you: {case.comment}"
        return sample
