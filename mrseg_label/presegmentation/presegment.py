"""One draft: the job that makes it, and how."""

from __future__ import annotations

import time
from collections.abc import Callable

from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.tables import Examination, ModelVersion, Presegmentation
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import new_id
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.volume import write_nifti
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.engines import Engines
from mrseg_label.workspace import Workspace


def engines_of(context: JobContext) -> Engines:
    """The models that this worker keeps loaded."""
    engines = context.state.get("engines")
    if not isinstance(engines, Engines):
        engines = context.state["engines"] = Engines(context.workspace)
    return engines


def run(context: JobContext) -> None:
    """Make the draft of ``payload["acquisition"]`` by ``payload["model_version"]``, unless it is there or outdated."""
    acquisition_id = context.payload["acquisition"]
    version = context.payload["model_version"]
    with context.catalog.read() as session:
        model = models.get(session, version)
        examination = acquisitions.primary_of(session, acquisition_id)
        outdated = models.current(session).version != version
        made = presegmentations.by_model(session, acquisition_id, version) is not None
    if model is None or examination is None:
        raise InvalidInput(f"acquisition {acquisition_id} or model {version} is not in the catalogue")
    if outdated or made:
        return
    presegmentation = make(context.workspace, engines_of(context), model, examination, context.check)
    with context.publish({"presegmentation": presegmentation.id, "source": presegmentation.source}) as session:
        session.add(presegmentation)


def make(
    workspace: Workspace, engines: Engines, model: ModelVersion, examination: Examination, check: Callable[[], None]
) -> Presegmentation:
    """Segment an examination's image and store the label map; returns its row, which is for the caller to add.

    ``check`` is called when the label map is made, and may raise to end the work.
    """
    started = time.monotonic()
    label_map, source = engines.segment(model, examination)
    check()
    presegmentation_id = new_id("ps")
    path = f"presegmentations/{examination.acquisition_id}/{presegmentation_id}.nii.gz"
    with workspace.scratch("draft-") as folder:
        write_nifti(folder / "draft.nii.gz", label_map, Geometry.from_json(examination.geometry))
        digest = workspace.put_file(path, folder / "draft.nii.gz")
    return Presegmentation(
        id=presegmentation_id,
        acquisition_id=examination.acquisition_id,
        examination_id=examination.id,
        model_version=model.version,
        source=source,
        path=path,
        digest=digest,
        seconds=time.monotonic() - started,
    )
