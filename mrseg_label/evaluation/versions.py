"""Evaluate model versions of a workspace on held-out cases, and on cohorts that serve evaluation alone.

What a version predicts is kept in the workspace, so that an evaluation goes on where it was cut off and a report draws what was measured.
Workers and commands import this; the server does not, since it loads networks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions, models
from mrseg_label.catalog.queries.judged_cases import judged_cases
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, ModelVersion
from mrseg_label.errors import Conflict, MrsegError
from mrseg_label.evaluation.folders import Evaluated
from mrseg_label.evaluation.journal import Journal
from mrseg_label.evaluation.measurements import table_of
from mrseg_label.evaluation.measuring import METHOD, measure
from mrseg_label.evaluation.values import CaseOf, Measured
from mrseg_label.files import make_folder, replacing, sha256_of
from mrseg_label.imaging.volume import write_nifti
from mrseg_label.intake.options import Refused
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.registry import service
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import EVALUATIONS

HELD_OUT = "held out"  # data set of the participants of the study on whom no model is trained


@dataclass(frozen=True)
class Judged:
    """An image that a version is judged on, with the file of what the version made of it."""

    version: str
    examination: Examination
    case: Acquisition
    annotation: Annotation
    prediction: Path

    @property
    def of(self) -> CaseOf:
        """What is judged, without anything that identifies a person beyond the pseudonymous code."""
        person = self.case.participant
        return CaseOf(
            self.version,
            self.examination.id,
            person.code,
            person.cohort or HELD_OUT,
            self.examination.sequence,
            self.case.station,
            person.sex or "",
            math.nan if person.age is None else person.age,
            "" if self.annotation.examination_id == self.examination.id else self.annotation.examination_id,
        )


def evaluate_versions(
    workspace: OpenedWorkspace,
    versions: Sequence[str],
    *,
    cohort: str | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Evaluated, list[Judged]]:
    """Measure what versions make of every channel of every case that none of them was trained on.

    Parameters
    ----------
    cohort : only participants of this one.
    spacing_mm : to which masks are resampled first.
    progress : called with the number of finished images and of all.

    Returns
    -------
    evaluated, judged : the measurements, and the images that were measured, in the same order.

    Raises
    ------
    NotFound
        There is no such version.
    Conflict
        There is no case to judge them on.
    Unavailable, ConfigurationError, DamagedModel
        A version cannot run here.
    """
    work = [one for version in versions for one in _work_of(workspace, version, cohort)]
    if not work:
        raise Conflict(
            "there is no annotated case of a held-out participant or of a cohort that serves evaluation alone"
            + (f" in the cohort {cohort!r}" if cohort is not None else "")
            + "; import one with: mrseg-label import FOLDER --masks PATTERN --evaluation-only"
        )
    loaded = LoadedModels(workspace)
    rows: list[tuple[CaseOf, list[Measured]]] = []
    judged: list[Judged] = []
    refused: list[Refused] = []
    for number, (model, one) in enumerate(work):
        progress(number, len(work))
        try:
            _predict(workspace, loaded, model, one)
            rows.append((one.of, _measure(workspace, one, spacing_mm)))
            judged.append(one)
        except (MrsegError, MemoryError) as error:
            if not number and not isinstance(error, MrsegError):
                raise
            refused.append(Refused(f"{one.version}, {one.examination.id}", str(error) or repr(error)))
    progress(len(work), len(work))
    return Evaluated(table_of(rows), tuple(refused), _origins(judged)), judged


def _origins(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Say from what the annotations began: one that began as a model's draft favours that model."""
    annotations = {one.annotation.id: one.annotation for one in judged}
    began = Counter(one.model_version for one in annotations.values())
    texts = [
        f"{count:,} as drafts of {version}" if version else f"{count:,} without a draft"
        for version, count in sorted(began.items(), key=lambda item: item[0] or "")
    ]
    if not texts:
        return ()
    return (
        f"Of the {len(annotations):,} annotations that were judged against, {', '.join(texts)} began; a draft favours the model that made it.",
    )


def _work_of(workspace: OpenedWorkspace, version: str, cohort: str | None) -> Iterator[tuple[ModelVersion, Judged]]:
    with workspace.catalog.read() as session:
        model = service.get(session, version)
        found = judged_cases(session, cohort, held_out=not models.saw_held_out(session, version))
        channels = {case.id: acquisitions.channels(session, case.id) for _, case in found}
    for annotation, case in found:
        without = without_mask(case, channels[case.id], annotation.examination_id)
        for examination in channels[case.id]:
            if examination.id not in without:
                file = workspace.path(
                    f"{EVALUATIONS}/{version}/{examination.id}-{_digest(workspace, model, examination)}.nii.gz"
                )
                yield model, Judged(version, examination, case, annotation, file)


def _predict(workspace: OpenedWorkspace, loaded: LoadedModels, model: ModelVersion, one: Judged) -> None:
    """Make the prediction of an image, unless it was made before."""
    if one.prediction.is_file():
        return
    workspace.verify(one.examination.path, one.examination.digest)
    label_map, _ = loaded.segment(model, one.examination)
    _, geometry = read_label_map(workspace.path(one.annotation.path))
    make_folder(one.prediction.parent)
    with replacing(one.prediction, durable=False, suffix=".nii.gz") as temporary:
        write_nifti(temporary, label_map, geometry)


def _measure(workspace: OpenedWorkspace, one: Judged, spacing_mm: tuple[float, float, float] | None) -> list[Measured]:
    journal = Journal(one.prediction.parent / "measured.jsonl")
    scheme = workspace.scheme
    missing = {row.structure for row in one.annotation.structures if not row.state.judged}
    annotated = [name for name in scheme.names if name not in missing]
    how = [scheme.digest, scheme.nsd_tolerances_mm, annotated, spacing_mm]
    parts = [METHOD, sha256_of(one.prediction), one.annotation.digest, *how]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    known = journal.read().get(key)
    if known is not None:
        return known
    workspace.verify(one.annotation.path, one.annotation.digest)
    reference, geometry = read_label_map(workspace.path(one.annotation.path), highest=len(scheme))
    prediction, _ = read_label_map(one.prediction, highest=len(scheme))
    measured = measure(reference, prediction, geometry, scheme, annotated=annotated, spacing_mm=spacing_mm)
    journal.add(key, measured)
    return measured


def _digest(workspace: OpenedWorkspace, model: ModelVersion, examination: Examination) -> str:
    """A digest of what a prediction depends on: image, weights and, of the bootstrap, its sources."""
    sources = [] if model.weights_digest else [str(source) for source in workspace.settings.bootstrap_sources]
    return hashlib.sha256(json.dumps([examination.digest, model.weights_digest, sources]).encode()).hexdigest()[:16]
