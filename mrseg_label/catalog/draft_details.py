"""What is stored with a draft beside its mask: ``Presegmentation.details``, one JSON object with these keys.

Each part is written by the step that makes it, and typed in the module of that step. Parts that no step made are not there:
drafts of earlier versions have none.
"""

from __future__ import annotations

from typing import Any, TypedDict, cast

from mrseg_label.catalog.tables import Presegmentation


class DraftUncertainty(TypedDict, total=False):
    """How sure the sources of a draft are, from 0 (sure) to 1, by structure.

    Attributes
    ----------
    disagreement : one minus the mean DSC between the masks of two sources.
    softmax : mean uncertainty of the network over the voxels that it gave to the structure.
    sides : structures whose left and right sources exchange.
    """

    disagreement: dict[str, float]
    softmax: dict[str, float]
    sides: list[str]


class DraftDetails(TypedDict, total=False):
    """The parts of ``Presegmentation.details``.

    Attributes
    ----------
    mixture : the source of each structure, where several sources were mixed.
    clean_up : what the clean-up changed.
    uncertainty : how sure the sources are; the strategy ``uncertainty`` ranks cases by it.
    doubts : what the audit of sides and directions doubts.
    """

    mixture: dict[str, Any]
    clean_up: dict[str, Any]
    uncertainty: DraftUncertainty
    doubts: list[dict[str, Any]]


def details_of(presegmentation: Presegmentation) -> DraftDetails:
    """Return what is stored with a draft, typed."""
    return cast(DraftDetails, presegmentation.details or {})
