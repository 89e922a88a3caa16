"""Strategies: which case next. The choice itself is made by the worklist."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.worklist import service as worklist
from mrseg_monailabel.params import reader_of

# In the order in which Slicer lists them; it preselects the first.
DESCRIPTIONS = {
    "balanced": "an equal mix of body stations and sequences, held-out participants first",
    "uncertainty": "cases whose draft is probably worst first",
    "sequential": "in the order of import",
    "random": "in random order",
}


class WorklistStrategy(Strategy):
    """One strategy of the worklist."""

    def __init__(self, name: str, workspace: OpenedWorkspace) -> None:
        super().__init__(DESCRIPTIONS[name])
        self.name = name
        self._workspace = workspace
        self._catalog = workspace.catalog

    def info(self) -> dict[str, Any]:
        """Description and (empty) config; the module reads the latter."""
        return {"description": self.description, "config": {}}

    def __call__(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Hand out the next case; an empty answer means that nothing is left.

        ``path`` is left out on purpose: the module opens it if it exists on the reader's own machine.
        """
        reader = reader_of(request)
        case = worklist.assign_next_case(self._workspace, reader, self.name)
        if case is None:
            return {}
        answer: dict[str, Any] = {
            # Slicer downloads the image without saying who asks: with sign-in the ticket says it.
            "id": case.examination_id if reader.account is None else case.ticket,
            "name": case.file_name,
            "checksum": f"SHA256:{case.digest}",
            "strategy": {self.name: {"client_id": reader.client}},
        }
        if case.annotation_id is not None:  # infer gives that mask; the module shows neither, other clients may
            answer |= {"revision": case.annotation_id, "comment": case.comment}
        return answer
