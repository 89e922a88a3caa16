"""How images, masks and weights are described to MONAI Label's clients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from monailabel.interfaces.datastore import DefaultLabelTag

from mrseg_label.catalog.draft_details import clean_up_texts, mixture_text
from mrseg_label.catalog.queries import doubts
from mrseg_label.catalog.queries.examinations import ListedImage
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, Examination, Presegmentation
from mrseg_label.clock import iso, start_of_day
from mrseg_label.errors import MrsegError
from mrseg_label.presegmentation.installed import installed_networks
from mrseg_label.presegmentation.weights import WeightsKind, find_weights
from mrseg_label.registry.service import IMPORTED
from mrseg_label.reports.blinding import case_name
from mrseg_label.reports.masks import OpenCase
from mrseg_label.reports.reviewing import SentBack
from mrseg_label.workspace import Workspace

ORIGINAL = DefaultLabelTag.ORIGINAL.value  # tag of the pre-segmentation
FINAL = DefaultLabelTag.FINAL.value  # tag of the newest accepted annotation
SUFFIX = ".nii.gz"
COMMENT_SHOWN = 300  # characters of a reviewer's comment where Slicer shows it

STAND_IN = (
    "stand-in weights for TotalSegmentator, trained on synthetic phantoms and not usable for patients; "
    "'mrseg-label doctor' says how to install the published ones"
)
PUBLISHED = "the published weights of TotalSegmentator"
OWN = "weights trained on the annotations of this workspace"
FOREIGN = "imported weights, which were not trained in this workspace"
NO_MODEL = "no model makes drafts (PRESEGMENTATION is off)"
MISSING = "no weights are installed, so no draft can be made; 'mrseg-label doctor' says what is missing"


def describe_case(case: OpenCase, label_names: dict[str, int], ticket: str | None = None) -> dict[str, Any]:
    """Describe an assigned case as an object of the datastore's listing; under its ticket alone where one is given."""
    labels: dict[str, Any] = {}
    if case.presegmentation is not None:
        info = describe_presegmentation(case.presegmentation, label_names, hides_case=ticket is not None)
        labels[ORIGINAL] = {"ext": SUFFIX, "info": info}
    if case.final is not None:
        labels[FINAL] = {"ext": SUFFIX, "info": describe_annotation(case.final, label_names)}
    return {"image": {"ext": SUFFIX, "info": describe_image(case.examination, ticket)}, "labels": labels}


def describe_image(examination: ListedImage, ticket: str | None = None) -> dict[str, Any]:
    """Describe an image, under the ticket by which its reader knows it if there is one."""
    created = examination.created_at
    if ticket is not None:  # to the second it would say which of the reader's earlier images it is
        created = start_of_day(created)
    return {
        "id": ticket or examination.id,
        "name": f"{ticket}{SUFFIX}" if ticket else image_file_name(examination),
        "checksum": f"SHA256:{examination.digest}",
        "sequence": examination.sequence,
        "station": examination.station,
        "created": iso(created),
        "ts": int(created.timestamp()),  # as MONAI Label's own datastore has it
    }


def describe_presegmentation(
    presegmentation: Presegmentation, label_names: dict[str, int], *, hides_case: bool = False
) -> dict[str, Any]:
    """Describe a pre-segmentation; ``params.label_names`` is always the complete scheme.

    Parameters
    ----------
    hides_case : leave out when it was made and by which version: an old draft is one of a case that was annotated long ago.
    """
    return {
        "created": None if hides_case else iso(presegmentation.created_at),
        "model": None if hides_case else presegmentation.model_version,
        "source": presegmentation.source,
        "mixture": mixture_text(presegmentation),  # of which sources the structures are; null: all of one
        "clean_up": clean_up_texts(presegmentation),  # what was changed before it was stored
        "doubts": doubts.texts(presegmentation.details),  # what the audit of sides and directions doubts
        "checksum": f"SHA256:{presegmentation.digest}",
        "params": {"label_names": label_names},
    }


def describe_annotation(annotation: Annotation, label_names: dict[str, int]) -> dict[str, Any]:
    """Describe an annotation; ``params.label_names`` is always the complete scheme."""
    return {
        "created": iso(annotation.created_at),
        "annotation": annotation.id,
        "revision": annotation.number,
        "author": annotation.author,
        "doubts": doubts.texts(annotation.report),
        "model": annotation.model_version,
        "checksum": f"SHA256:{annotation.digest}",
        "client_id": annotation.author,
        "label_info": _label_info(tuple(label_names.items())),
        "params": {"label_names": label_names},
    }


@lru_cache(maxsize=8)  # a list names it for every annotation
def _label_info(label_names: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "idx": value} for name, value in label_names]


def describe_weights(workspace: Workspace, version: str) -> str:
    """Describe the weights behind a model version for radiologists; folders of the server stay out of the text."""
    if workspace.settings.presegmentation == "off":
        return NO_MODEL
    if version != BOOTSTRAP:
        return FOREIGN if version.startswith(IMPORTED) else OWN
    try:
        weights = find_weights(workspace.settings.totalseg_weights_path)
    except MrsegError:
        return MISSING
    return STAND_IN if weights.kind is WeightsKind.STAND_IN else PUBLISHED


def describe_sources(workspace: Workspace) -> list[dict[str, Any]]:
    """Describe the published networks that can make drafts; folders of the server stay out of it."""
    return [
        {
            "name": one.network.name,
            "title": one.network.title,
            "orientation": one.network.orientation,
            "licence": one.network.licence,
            "weights": str(one.state),
        }
        for one in installed_networks(workspace.settings)
    ]


def describe_sent_back(found: Sequence[SentBack], *, with_author: bool = False, hides_cases: bool = False) -> str:
    """Describe rejected annotations as lines below another text, which their author reads in Slicer; empty without any.

    Parameters
    ----------
    with_author : name the author too, where the reader is not known.
    hides_cases : whether the reader must not find out which case is which.
    """
    lines = []
    for one in found:
        whose = f" to {one.author}" if with_author else ""
        comment = " ".join(one.comment.split()) or "no comment"
        case = case_name(one.reading) if hides_cases else one.examination_id
        shown = comment if len(comment) <= COMMENT_SHOWN else f"{comment[:COMMENT_SHOWN]} ..."
        lines.append(f"\nSent back{whose}: {case}, by {one.reviewer}: {shown}")
    return "".join(lines)


def image_file_name(examination: Examination | ListedImage) -> str:
    """Return the file name of an image's download: unique, since Slicer may reuse a download of the same name."""
    return f"{examination.id}{SUFFIX}"
