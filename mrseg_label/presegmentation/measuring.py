"""Measure how much correction the masks of sources would have needed on annotated cases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.draft_details import is_of_one_source, source_name
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, presegmentations, source_scores
from mrseg_label.catalog.tables import Annotation, Examination, ModelVersion, SourceScore
from mrseg_label.errors import ConfigurationError, DamagedModel, MrsegError, Unavailable
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import joint_histogram
from mrseg_label.presegmentation.candidates import Candidate, candidates_of
from mrseg_label.presegmentation.evidence import Work
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.segments.files import read_label_map

log = logging.getLogger("mrseg_label.presegmentation")
_OF_THE_MODEL = (Unavailable, ConfigurationError, DamagedModel)


def score_of(
    source: str,
    annotation: Annotation,
    examination_id: str,
    mask: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    scheme: LabelScheme,
    voxel_ml: float,
) -> SourceScore:
    """Make the row of what one source segmented of an annotated case; ``mask`` and ``reference`` are on one grid."""
    judged = annotation.judged
    volumes = {
        name: [round(ml, 4) for ml in (work.edited, work.drafted, work.annotated)]
        for name, work in work_of(mask, reference, scheme, voxel_ml).items()
        if name in judged
    }
    return SourceScore(source=source, annotation_id=annotation.id, examination_id=examination_id, structures=volumes)


def work_of(
    mask: NDArray[np.uint8], reference: NDArray[np.uint8], scheme: LabelScheme, voxel_ml: float
) -> dict[str, Work]:
    """Measure the work on each structure that a mask or its reference has, both on one grid."""
    histogram = joint_histogram(mask, reference, len(scheme))
    drafted, annotated, same = histogram.sum(axis=1), histogram.sum(axis=0), np.diagonal(histogram)
    found = {}
    for structure in scheme:
        number = structure.id
        size = int(drafted[number] + annotated[number])
        if size:
            counts = (size - 2 * int(same[number]), int(drafted[number]), int(annotated[number]))
            found[structure.name] = Work(*(count * voxel_ml for count in counts))
    return found


def measure_sources(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    model: ModelVersion,
    annotations: Iterable[Annotation],
    check: Callable[[], None],
    limit: int,
    *,
    own: bool = False,
) -> int:
    """Measure the sources that drafts by a version may be mixed from on annotated cases.

    What is measured already is not measured again, and a draft that a source made is not made again. A case that a source cannot segment is
    passed over.

    Parameters
    ----------
    check : called before each case; may raise to end the work. What was measured so far is kept.
    limit : the newest so many annotations are looked at.
    own : whether the version itself is measured too, which the evaluation of a round does at other times.

    Returns
    -------
    Number of masks that were measured.
    """
    newest = sorted(annotations, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]
    cannot_run: set[str] = set()
    count = 0
    for annotation in newest:
        check()
        for candidate, examination in _missing(workspace, model, annotation, own=own):
            if candidate.name in cannot_run:
                continue
            try:
                row = _measure(workspace, loaded_models, candidate, annotation, examination)
            except _OF_THE_MODEL as error:
                log.warning("%s is left out of mixtures: %s", candidate.name, error)
                cannot_run.add(candidate.name)
                continue
            except MrsegError:
                log.warning("%s cannot be measured on annotation %s", candidate.name, annotation.id, exc_info=True)
                continue
            with workspace.catalog.begin() as session:
                session.merge(row)
            count += 1
    return count


def _missing(
    workspace: OpenedWorkspace, model: ModelVersion, annotation: Annotation, *, own: bool
) -> Sequence[tuple[Candidate, Examination]]:
    with workspace.catalog.read() as session:
        examination = acquisitions.primary_of(session, annotation.acquisition_id)
        if examination is None:
            return []
        known = source_scores.known(session, [annotation.id])
        found = candidates_of(workspace, session, model, examination.sequence)[0 if own else 1 :]
    return [(one, examination) for one in found if (one.name, annotation.id) not in known]


def _measure(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    candidate: Candidate,
    annotation: Annotation,
    examination: Examination,
) -> SourceScore:
    version = candidate.model.version
    with workspace.catalog.read() as session:
        draft = presegmentations.by_model(session, annotation.acquisition_id, version)
    stored = (
        draft is not None
        and is_of_one_source(draft)
        and draft.examination_id == examination.id
        and candidate.name == source_name(version, draft.source)
        and is_whole(workspace, draft)
    )
    workspace.verify(annotation.path, annotation.digest)
    reference, geometry = read_label_map(workspace.path(annotation.path))
    if draft is not None and stored:
        mask, _ = read_label_map(workspace.path(draft.path))
    else:
        workspace.verify(examination.path, examination.digest)
        mask = loaded_models.draft(candidate.model, examination, candidate.source)[0].label_map
    return score_of(candidate.name, annotation, examination.id, mask, reference, workspace.scheme, geometry.voxel_ml)
