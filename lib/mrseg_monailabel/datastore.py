"""MONAI Label's datastore over the catalogue."""

# ruff: noqa: ARG002 - the interface of MONAI Label names the parameters of its methods

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.examinations import ListedImage
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination
from mrseg_label.catalog.types import Sign
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.ids import is_ticket
from mrseg_label.intake import service as intake
from mrseg_label.reports import masks, reviewing
from mrseg_label.reports.blinding import hides_cases, read_own_blind
from mrseg_label.reports.downloads import Download, find_stored
from mrseg_label.worklist.resolving import resolve_image
from mrseg_label.worklist.signs import note_work
from mrseg_monailabel.descriptions import (
    FINAL,
    ORIGINAL,
    SUFFIX,
    describe_case,
    describe_image,
    image_file_name,
)
from mrseg_monailabel.labels import Labels
from mrseg_monailabel.mask_files import SEGMENTS
from mrseg_monailabel.params import reader_of
from mrseg_monailabel.review_fields import NEIGHBOURS, describe_review_case, label_name, name_tag, parse_annotation_tag


class MRSegDatastore(Datastore):
    """Images, pre-segmentations and annotations under the names that MONAI Label gives them.

    Methods that would change or remove a stored file raise :class:`Conflict`: nothing stored is ever overwritten.
    """

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace
        self.labels = Labels(workspace)

    # What routes and the infer task use

    def examination(self, image: str, reader: Reader, to_submit: bool = False) -> Examination:
        """Find the examination that a client means by an id, a ticket or its own name for an uploaded image."""
        return resolve_image(self._workspace.catalog, image, reader, to_submit=to_submit)

    def ticket_of(self, image: str, reader: Reader) -> str | None:
        """Return the ticket that an image is asked for by, where nothing may tell its reader which case it is."""
        return image if is_ticket(image) and hides_cases(self._workspace, reader) else None

    def image_file(self, image: str, reader: Reader) -> Download:
        """Find the file of an image, which its reader begins to work on."""
        examination = self.examination(image, reader)
        note_work(self._workspace.catalog, reader, examination.acquisition_id, Sign.IMAGE)
        ticket = self.ticket_of(image, reader)
        if ticket is None:
            return find_stored(self._workspace, examination, image_file_name(examination))
        return replace(find_stored(self._workspace, examination, f"{ticket}{SUFFIX}"), dated=False)

    def label_file(self, label: str, tag: str, reader: Reader) -> Download:
        """Find the file of a label. Raises as :meth:`mrseg_monailabel.labels.Labels.file`."""
        examination = self.examination(label, reader)
        found = self.labels.file(examination, tag, reader)
        note_work(self._workspace.catalog, reader, examination.acquisition_id, Sign.MASK)
        if self.ticket_of(label, reader) is None:
            return found
        return replace(found, name=f"{label}-{tag}{SUFFIX}", dated=False)

    def segments_file(self, label: str, tag: str, reader: Reader, folder: Path) -> Path:
        """Write a label to a ``.seg.nrrd`` file. Raises as :meth:`mrseg_monailabel.labels.Labels.file`."""
        file = self.labels.write_segments(self.examination(label, reader), tag, reader, folder)
        return file.rename(file.with_name(label_name(label, SEGMENTS))) if self.ticket_of(label, reader) else file

    def neighbours_file(self, label: str, reader: Reader, folder: Path) -> Path:
        """Write what neighbouring stations have on the grid of a case. Raises as :meth:`mrseg_monailabel.labels.Labels.write_neighbours`."""
        file = self.labels.write_neighbours(self.examination(label, reader), reader, folder)
        return file.rename(file.with_name(f"{label}-{NEIGHBOURS}{SEGMENTS}")) if self.ticket_of(label, reader) else file

    def note_presegmentation_sent(self, examination: Examination, presegmentation_id: str, reader: Reader) -> None:
        """Note which pre-segmentation a reader was sent: the annotation is compared with that one."""
        self.labels.note_presegmentation_sent(examination, presegmentation_id, reader)

    def submit(
        self, image: str, upload: Path, file_name: str, tag: str, reader: Reader, params: dict[str, Any]
    ) -> Submitted:
        """Store an annotation that a reader submits.

        Parameters
        ----------
        upload : the file as it came, under any name.
        file_name : the client's name of it; only its suffix is used.
        params : as the client sent them; ``label_info`` lists the segments in their order on the screen.
        """
        number = parse_annotation_tag(tag)
        examination = self.examination(image, reader, to_submit=True)
        if name_tag(number) != FINAL:
            return self.labels.save_version(examination, upload, file_name, number, reader, params)
        return submit(
            self._workspace,
            reader,
            examination_id=examination.id,
            upload=upload,
            file_name=file_name,
            label_info=params.get("label_info"),
            params=params,
        )

    def remark(self, label: str, tag: str, reader: Reader, params: dict[str, Any]) -> dict[str, str]:
        """Keep what a reviewer says about an annotation: ``approved`` accepts it and ``flagged`` rejects it."""
        return self.labels.remark(self.examination(label, reader), tag, reader, params)

    def withdraw(self, label: str, tag: str, reader: Reader) -> dict[str, str]:
        """Withdraw an annotation, as a reviewer deletes it in Slicer; nothing is removed from disk."""
        return self.labels.withdraw(self.examination(label, reader), tag, reader)

    def upload(self, alias: str, file: Path, reader: Reader) -> str:
        """Import a reader's own image under the reader's name for it; returns the examination's id."""
        return intake.register_upload(self._workspace, reader, file, alias=alias)

    def image_info(self, image: str, reader: Reader) -> dict[str, Any]:
        """Describe an image."""
        return describe_image(ListedImage.of(self.examination(image, reader)), self.ticket_of(image, reader))

    def label_info(self, label: str, tag: str, reader: Reader) -> dict[str, Any]:
        """Describe a label; ``params.label_names`` is always the complete scheme.

        Raises
        ------
        NotFound
            There is none, or none that this reader may see.
        """
        hides_case = self.ticket_of(label, reader) is not None
        return self.labels.describe(self.examination(label, reader), tag, reader, hides_case=hides_case)

    # The interface of MONAI Label

    def name(self) -> str:
        return self._workspace.root.name

    def set_name(self, name: str) -> None:
        raise _read_only("the name of the datastore", name)

    def description(self) -> str:
        return "images, pre-segmentations and annotations of the workspace"

    def set_description(self, description: str) -> None:
        raise _read_only("the description of the datastore", description)

    def status(self, reader: Reader | None = None) -> dict[str, Any]:
        """Count cases, as a reader may know them; the channels of an acquisition count once."""
        total, annotated = masks.read_totals(self._workspace.catalog)
        completed = min(total, annotated + read_own_blind(self._workspace, reader).annotated)
        return {"total": total, "completed": completed, "label_tags": {FINAL: completed}}

    def json(
        self, reader: Reader | None = None, suffix: str = SUFFIX, *, to_review: bool = True, unreviewed: bool = True
    ) -> dict[str, Any]:
        """Describe the cases that are assigned now; never the whole catalogue, which may have a million images.

        With sign-in these are the reader's own, each under its ticket. To reviewers, and without sign-in, cases to
        review follow under their ids: what awaits review, and what was decided last.

        Parameters
        ----------
        suffix : of the labels as this client gets them.
        to_review : list cases to review too.
        unreviewed : of them also those whose annotations nobody reviewed, since no review is required.
        """
        reader, names = reader or Reader(), self._workspace.scheme.shown_names
        catalog = self._workspace.catalog
        objects = {
            case.key: describe_case(case, names, self.ticket_of(case.key, reader))
            for case in masks.read_open_cases(catalog, reader)
        }
        if not (to_review and reader.may_review):
            return {"name": self.name(), "description": self.description(), "objects": objects}
        for case in reviewing.read_review_cases(catalog, reader, unreviewed=unreviewed):
            described = describe_review_case(case, names, suffix)
            assigned = objects.pop(case.examination.id, {"labels": {}})  # the tags of versions come last
            objects[case.examination.id] = described | {"labels": assigned["labels"] | described["labels"]}
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        """List images and masks to train on, as ids: paths of the server are not published."""
        return [
            {"image": identifier, "label": identifier, "revision": number}
            for identifier, number in masks.read_annotated_examinations(self._workspace.catalog)
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return {tag: image_id for tag in (ORIGINAL, FINAL) if self.get_label_by_image_id(image_id, tag)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        try:
            self.label_file(image_id, tag, Reader())
        except NotFound:
            return ""
        return image_id

    def get_image(self, image_id: str, params: Any = None) -> BytesIO:
        return BytesIO(self.image_file(image_id, reader_of(params)).path.read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        return str(self.image_file(image_id, Reader()).path)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> BytesIO:
        return BytesIO(self.label_file(label_id, label_tag, reader_of(params)).path.read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        return str(self.label_file(label_id, label_tag, Reader()).path)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        return self.image_info(image_id, Reader())

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return self.label_info(label_id, label_tag, Reader())

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return masks.read_examination_ids(self._workspace.catalog, annotated=True)

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return masks.read_examination_ids(self._workspace.catalog, annotated=False)

    def list_images(self) -> list[str]:
        return masks.read_examination_ids(self._workspace.catalog)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        raise Conflict("the annotated data set is exported with: mrseg-label export DIR --format nnunet")

    def refresh(self) -> None:
        """Do nothing: the catalogue is always up to date."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        return self.upload(image_id, Path(image_filename), reader_of(image_info))

    def remove_image(self, image_id: str) -> None:
        raise _read_only("a stored image", image_id)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        upload = Path(label_filename)
        return self.submit(image_id, upload, upload.name, label_tag, reader_of(label_info), label_info).examination_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        self.withdraw(label_id, label_tag, Reader())

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        raise _read_only("an image's description", image_id)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self.remark(label_id, label_tag, reader_of(info), info)


def _read_only(what: str, value: str) -> Conflict:
    return Conflict(f"{what} cannot be changed or removed through the MONAI Label protocol ({value!r:.80})")
