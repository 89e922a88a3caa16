"""What is stored with a draft beside its mask: ``Presegmentation.details``, one JSON object with these keys.

Each part is written by the step that makes it, and typed in the module of that step. Parts that no step made are not there:
drafts of earlier versions have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from mrseg_label.catalog.tables import BOOTSTRAP, Presegmentation


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
    mixture : the source of each structure, where several sources segmented the image: ``structures`` (source by structure),
        ``present`` (structures that the mask has), ``sources`` (model version by source), ``reasons`` (why a source was
        chosen, by structure) and ``measures`` (how the sources agreed, :mod:`mrseg_label.presegmentation.agreement`).
    clean_up : what the clean-up changed.
    uncertainty : how sure the sources are; the strategy ``uncertainty`` ranks cases by it.
    sparing : what was done with less than the settings say, because memory was exhausted or the process had died.
    doubts : what the audit of sides and directions doubts.
    """

    mixture: dict[str, Any]
    clean_up: dict[str, Any]
    uncertainty: DraftUncertainty
    sparing: list[str]
    doubts: list[dict[str, Any]]


def details_of(presegmentation: Presegmentation) -> DraftDetails:
    """Return what is stored with a draft, typed."""
    return cast(DraftDetails, presegmentation.details or {})


def source_name(model_version: str, source: str) -> str:
    """Name a source as readers know it: a model by its version, a published network by its makers and what was done."""
    if model_version != BOOTSTRAP:
        return model_version
    name = source.removeprefix("model:").replace(":", " ")
    if source.startswith("model:"):
        return name
    return name.replace("mrsegmentator", "MRSegmentator") if "mrsegm" in name else f"TotalSegmentator {name}"


def source_of(presegmentation: Presegmentation, structure: str) -> str:
    """Name the source that a structure of a draft is from."""
    own = source_name(presegmentation.model_version, presegmentation.source)
    return str(_structures(presegmentation).get(structure, own))


def version_of(presegmentation: Presegmentation, structure: str) -> str:
    """Return the model version that a structure of a draft is from."""
    versions = details_of(presegmentation).get("mixture", {}).get("sources", {})
    source = _structures(presegmentation).get(structure)
    return str(versions.get(source, presegmentation.model_version))


def is_of_one_source(presegmentation: Presegmentation) -> bool:
    """Whether the mask is what its model version made of the image, with nothing mixed in and nothing cleaned up."""
    details = details_of(presegmentation)
    return "mixture" not in details and not details.get("clean_up", {}).get("voxels")


def clean_up_texts(presegmentation: Presegmentation) -> list[str]:
    """Say in words what the clean-up changed in a draft."""
    return [str(change["text"]) for change in details_of(presegmentation).get("clean_up", {}).get("changes", ())]


def mixture_text(presegmentation: Presegmentation) -> str | None:
    """Describe of which sources a draft was mixed: ``liver, spleen: r2; gluteus_maximus_left: TotalSegmentator inverted``.

    None where it has one source. The source with most structures comes first, and is named alone if it has more than five.
    """
    by_source: dict[str, list[str]] = {}
    sources = _structures(presegmentation)
    for structure in details_of(presegmentation).get("mixture", {}).get("present", ()):
        by_source.setdefault(sources[structure], []).append(structure)
    if len(by_source) < 2:
        return None
    (main, names), *rest = sorted(by_source.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = f"{', '.join(names)}: {main}" if len(names) <= _NAMED else f"all others: {main}"
    parts = [f"{', '.join(found)}: {source}" for source, found in rest]
    return "; ".join([*parts, shown] if len(names) > _NAMED else [shown, *parts])


_NAMED = 5


def _structures(presegmentation: Presegmentation) -> Mapping[str, str]:
    structures: Mapping[str, str] = details_of(presegmentation).get("mixture", {}).get("structures", {})
    return structures
