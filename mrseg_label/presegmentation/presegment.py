"""The job that pre-segments one acquisition."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.draft_details import details_of
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.tables import Examination, ModelVersion, Presegmentation
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import new_id
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.volume import write_nifti
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.clean_up import clean_up_draft, impossible_structures
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.mixing import segment_and_mix
from mrseg_label.presegmentation.mixture import DraftMask
from mrseg_label.presegmentation.sparing import spare
from mrseg_label.presegmentation.uncertainty import assess_draft
from mrseg_label.workspace import Workspace

_STATE_KEY = "loaded_models"


def loaded_models_of(context: JobContext) -> LoadedModels:
    """Return the models that this worker keeps loaded between jobs."""
    loaded = kept_models(context.state)
    if loaded is None:
        loaded = context.state[_STATE_KEY] = LoadedModels(context.workspace)
    loaded.workspace, loaded.context = context.workspace, context
    loaded.sparing.clear()
    return loaded


def kept_models(state: Mapping[str, Any]) -> LoadedModels | None:
    """Return the models that a worker with this state keeps loaded, if it has made a draft."""
    loaded = state.get(_STATE_KEY)
    return loaded if isinstance(loaded, LoadedModels) else None


def run(context: JobContext) -> None:
    """Pre-segment ``payload["acquisition"]`` by ``payload["model_version"]``.

    Nothing is done if that pre-segmentation exists already with an undamaged file, or if another model has been
    promoted since.

    Raises
    ------
    InvalidInput
        The acquisition or the model version is not in the catalogue.
    """
    if context.workspace.settings.presegmentation == "off":
        return  # it was enqueued before
    acquisition_id = context.payload["acquisition"]
    version = context.payload["model_version"]
    with context.catalog.read() as session:
        model = models.get(session, version)
        examination = acquisitions.primary_of(session, acquisition_id)
        outdated = models.current(session).version != version
        present = presegmentations.by_model(session, acquisition_id, version)
        earlier = presegmentations.newest_by_another(session, acquisition_id, version)
        impossible = impossible_structures(session, acquisition_id)
    if model is None:
        raise InvalidInput(f"model version {version} is not in the catalogue")
    if examination is None:
        raise InvalidInput(f"acquisition {acquisition_id} is not in the catalogue")
    if outdated or (present is not None and is_whole(context.workspace, present)):
        return
    context.workspace, sparing = spare(context.workspace, context.claim.deaths)
    loaded = loaded_models_of(context)
    presegmentation = make_presegmentation(
        context.workspace, loaded, model, examination, context.check, earlier, impossible
    )
    if sparing := [*sparing, *dict.fromkeys(loaded.sparing)]:
        presegmentation.details = {**details_of(presegmentation), "sparing": sparing}
    with context.publish(
        {"presegmentation": present.id if present else presegmentation.id, "source": presegmentation.source}
    ) as session:
        store(session, presegmentation)


def store(session: Session, made: Presegmentation) -> None:
    """Add a pre-segmentation, or give its file to the one by the same model whose own file was damaged."""
    damaged = presegmentations.by_model(session, made.acquisition_id, made.model_version)
    if damaged is None:
        session.add(made)
        return
    damaged.examination_id, damaged.path, damaged.digest = made.examination_id, made.path, made.digest
    damaged.source, damaged.seconds, damaged.details = made.source, made.seconds, made.details


def make_presegmentation(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    model: ModelVersion,
    examination: Examination,
    check: Callable[[], None],
    earlier: Presegmentation | None = None,
    impossible: Collection[str] = (),
) -> Presegmentation:
    """Segment the image of an examination and store the label map.

    Parameters
    ----------
    check : called before the label map is stored; may raise to end the work.
    earlier : the newest draft of the acquisition by another model version; how far they disagree is stored.
    impossible : names of the structures that cannot lie in the station.

    Returns
    -------
    The row, not yet added to a session.
    """
    started = time.monotonic()
    # Each step is a module of its own: segment by each source, mix, clean up, write.
    segmented, draft = segment_and_mix(workspace, loaded_models, model, examination)
    assess_draft(draft, segmented, workspace, earlier)
    draft = clean_up_draft(draft, workspace, examination, impossible)
    check()
    return write_draft(workspace, model, examination, draft, started)


def write_draft(
    workspace: Workspace, model: ModelVersion, examination: Examination, draft: DraftMask, started: float
) -> Presegmentation:
    """Store the mask of a draft whose making began at ``started`` (:func:`time.monotonic`).

    Returns
    -------
    The row, not yet added to a session.
    """
    presegmentation_id = new_id("ps")
    path = f"presegmentations/{examination.acquisition_id}/{presegmentation_id}.nii.gz"
    with workspace.scratch("presegmentation-") as folder:
        write_nifti(folder / "label_map.nii.gz", draft.label_map, Geometry.from_json(examination.geometry))
        digest = workspace.put_file(path, folder / "label_map.nii.gz")
    return Presegmentation(
        id=presegmentation_id,
        acquisition_id=examination.acquisition_id,
        examination_id=examination.id,
        model_version=model.version,
        source=draft.source,
        path=path,
        digest=digest,
        seconds=time.monotonic() - started,
        details=dict(draft.details),
    )
