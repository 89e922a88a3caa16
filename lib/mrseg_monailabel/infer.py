"""The infer task ``mrseg``: the newest model's pre-segmentation of an image, on exactly its grid."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from mrseg_label.catalog.draft_details import clean_up_texts, mixture_text
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import doubts
from mrseg_label.catalog.tables import Annotation, Examination
from mrseg_label.catalog.types import Sign
from mrseg_label.errors import InvalidInput
from mrseg_label.presegmentation.service import presegmentation_for
from mrseg_label.reports.models import read_current_version
from mrseg_label.rounds.filling import fill_not_annotated
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.signs import note_work
from mrseg_monailabel.datastore import MRSegDatastore
from mrseg_monailabel.mask_files import MaskForm, form_of, write_mask
from mrseg_monailabel.params import reader_of

WAIT_SECONDS = 600  # as long as MONAI Label itself lets a task run


class MRSegInfer(InferTask):
    """Sends a pre-segmentation from the catalogue; a worker makes it first where there is none yet."""

    def __init__(self, workspace: OpenedWorkspace, datastore: MRSegDatastore) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=workspace.scheme.shown_names,
            dimension=3,
            description="pre-segmentation by the newest model",
            config={"wait_seconds": WAIT_SECONDS},
        )
        self._workspace = workspace
        self._datastore = datastore
        self.stopping = threading.Event()  # set when the server is about to end: requests wait no longer

    def info(self) -> dict[str, Any]:
        """Describe the task as MONAI Label does, with the model version that makes pre-segmentations now."""
        version = read_current_version(self._workspace.catalog)
        if self._workspace.settings.presegmentation == "off":
            return {**super().info(), "description": "empty masks to draw in", "version": version}
        return {**super().info(), "description": f"pre-segmentation by model version {version}", "version": version}

    def is_valid(self) -> bool:
        """Return True: there is always a model, the bootstrap or the current version."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Write a mask to a file of its own in ``request["folder"]`` and return its path and params.

        The mask is the pre-segmentation, or the annotation that the reader starts from. ``params.label_names`` is
        the complete scheme with values 1 to N: Slicer fills its segments by position.

        Raises
        ------
        NotFound, Forbidden
            There is no such image, or the reader may not open it.
        InvalidInput
            A parameter has an impossible value.
        Unavailable
            No pre-segmentation could be made in time.
        """
        reader = reader_of(request)
        form = form_of(request, self._workspace.scheme)
        examination = self._datastore.examination(request["image"], reader)
        wait = _wait_seconds(request)
        note_work(self._workspace.catalog, reader, examination.acquisition_id, Sign.MASK)
        name = self._datastore.ticket_of(request["image"], reader) or examination.id
        folder = Path(request["folder"])
        start = worklist.mask_to_start_from(self._workspace.catalog, reader, examination.acquisition_id)
        if start is not None:
            return self._send_annotation(*start, examination, folder, form)
        catalog, case = self._workspace.catalog, examination.acquisition_id
        if self._workspace.settings.presegmentation == "off" or worklist.is_draft_withheld(catalog, reader, case):
            return self._send_empty(name, folder, form, examination)
        presegmentation = presegmentation_for(self._workspace, examination.id, wait_seconds=wait, stop=self.stopping)
        self._datastore.note_presegmentation_sent(examination, presegmentation.id, reader)
        target = folder / f"{name}-draft{form.extension}"
        self._write(self._workspace.path(presegmentation.path), examination, target, form)
        params = {
            "label_names": self._workspace.scheme.shown_names,
            "model_version": presegmentation.model_version,
            "source": presegmentation.source,
            # By its id a reader would know a case again that he must not.
            "presegmentation": None if name != examination.id else presegmentation.id,
            "mixture": mixture_text(presegmentation),
            "clean_up": clean_up_texts(presegmentation),
            "doubts": doubts.texts(presegmentation.details),
        }
        return str(target), params

    def _send_empty(
        self, name: str, folder: Path, form: MaskForm, examination: Examination
    ) -> tuple[str, dict[str, Any]]:
        """Write an empty mask, for a reader who draws everything; its params have all names as those of a draft."""
        target = folder / f"{name}-empty{form.extension}"
        self._write(None, examination, target, form)
        params = {
            "label_names": self._workspace.scheme.shown_names,
            "model_version": None,
            "source": "none",
            "presegmentation": None,
        }
        return str(target), params

    def _send_annotation(
        self, annotation: Annotation, comment: str, examination: Examination, folder: Path, form: MaskForm
    ) -> tuple[str, dict[str, Any]]:
        """Write the annotation that the reader starts from; its params say why it was sent back.

        Structures that it does not annotate are as in the pre-segmentation: an empty segment would mean "absent"
        when the mask is submitted again.
        """
        with self._workspace.catalog.read() as session:
            mask = fill_not_annotated(self._workspace, session, annotation, folder)
        target = folder / f"{examination.id}-revision-{annotation.number}{form.extension}"
        self._write(mask.path, examination, target, form)
        params = {
            "label_names": self._workspace.scheme.shown_names,
            "model_version": annotation.model_version,
            "source": "revision",  # and no source of pre-segmentations; clients know it by this name
            "presegmentation": annotation.presegmentation_id,
            "annotation": annotation.id,
            "revision": annotation.id,  # deprecated: the same as annotation
            "author": annotation.author,
            "doubts": doubts.texts(annotation.report),
            "comment": comment,
        }
        return str(target), params

    def _write(self, source: Path | None, examination: Examination, target: Path, form: MaskForm) -> None:
        image = self._workspace.path(examination.path)
        write_mask(source, image, target, form, self._workspace.scheme)


def _wait_seconds(request: dict[str, Any]) -> float:
    given = request.get("wait_seconds", WAIT_SECONDS)
    try:
        wait = float(given)  # some clients send the text of an input field
    except (TypeError, ValueError, OverflowError):
        wait = math.nan
    if not 0 <= wait <= WAIT_SECONDS:
        raise InvalidInput(f"wait_seconds must be a number from 0 to {WAIT_SECONDS}, not {given!r:.40}")
    return wait
