"""MONAI Label's datastore over our catalogue."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from sqlalchemy.orm import Session

from mrseg_label.annotation.service import final_mask, submit
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, assignments
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import presegmentations as presegmentation_rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Presegmentation
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake import service as intake
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.resolving import resolve_image
from mrseg_monailabel.described import (
    FINAL,
    ORIGINAL,
    SUFFIX,
    annotation_info,
    described,
    file_name_of,
    image_info,
    presegmentation_info,
)
from mrseg_monailabel.params import reader_of
from mrseg_monailabel.stored import StoredFile


class MRSegDatastore(Datastore):
    """Images, drafts and corrections as MONAI Label names them.

    What would change or remove a stored file is refused: nothing stored is ever overwritten.
    """

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog

    # What routes and infer task use

    def examination(self, image: str, reader: Reader, to_submit: bool = False) -> Examination:
        """The examination that a client means by an id, a ticket or its own name for an uploaded image."""
        return resolve_image(self._workspace.catalog, image, reader, to_submit=to_submit)

    def image_file(self, image: str, reader: Reader) -> StoredFile:
        """The stored image."""
        examination = self.examination(image, reader)
        return StoredFile(self._workspace.path(examination.path), file_name_of(examination), examination.digest)

    def label_file(self, label: str, tag: str, reader: Reader) -> StoredFile:
        """The draft (tag ``original``) or the newest accepted correction (``final``)."""
        examination = self.examination(label, reader)
        name = file_name_of(examination).removesuffix(SUFFIX) + f"-{check_tag(tag)}{SUFFIX}"
        if tag == FINAL:
            path, annotation = final_mask(self._workspace, examination)
            with self._catalog.read() as session:
                if not self._may_see(session, annotation, reader):
                    raise NotFound(f"{examination.id} has no correction of yours")
            return StoredFile(path, name, annotation.digest)
        with self._catalog.read() as session:
            presegmentation = presegmentation_rows.best(session, examination.acquisition_id)
        if presegmentation is None:
            raise NotFound(f"there is no draft of {examination.id} yet; ask for one by infer")
        self.note_sent(examination, presegmentation, reader)
        return StoredFile(self._workspace.path(presegmentation.path), name, presegmentation.digest)

    def note_sent(self, examination: Examination, presegmentation: Presegmentation, reader: Reader) -> None:
        """Note which draft a reader was given: the correction is compared with that one."""
        worklist.note_presegmentation_sent(self._catalog, reader, examination.acquisition_id, presegmentation.id)

    def submit(self, image: str, upload: Path, file_name: str, tag: str, reader: Reader, params: dict[str, Any]) -> str:
        """Store a correction as a new revision; returns the examination's id."""
        if check_tag(tag) != FINAL:
            raise InvalidInput(
                f"a correction is submitted with the tag {FINAL!r}, not {tag!r}: drafts are made by the server"
            )
        examination = self.examination(image, reader, to_submit=True)
        submit(
            self._workspace,
            reader,
            examination_id=examination.id,
            upload=upload,
            file_name=file_name,
            label_info=params.get("label_info"),
            params=params,
        )
        return examination.id

    def upload(self, alias: str, file: Path, reader: Reader) -> str:
        """Take in a reader's own image under the reader's name for it; returns the examination's id."""
        return intake.register_upload(
            self._workspace,
            file,
            alias=alias,
            client=reader.name,
            joins=reader.sees_every_case,
        )

    # The interface of MONAI Label

    def name(self) -> str:
        return self._workspace.root.name

    def set_name(self, name: str) -> None:
        raise _fixed("the name of the datastore")

    def description(self) -> str:
        return "images, drafts and corrections of the workspace"

    def set_description(self, description: str) -> None:
        raise _fixed("the description of the datastore")

    def status(self) -> dict[str, Any]:
        """Counts of cases; channels that share a correction count once."""
        with self._catalog.read() as session:
            total, completed = acquisitions.totals(session)
        return {"total": total, "completed": completed, "label_tags": {FINAL: completed}}

    def json(self, reader: Reader | None = None) -> dict[str, Any]:
        """The cases that are handed out now; never the whole catalogue, which may have a million images.

        With sign-in these are the caller's own, each under its ticket, as the reader knows them.
        """
        account = reader.account if reader else None
        with self._catalog.read() as session:
            moment = self._catalog.now(session)
            opened = assignments.open_examinations(session, account, moment)
            cases = [
                (assignment.ticket if account else examination.id, examination) for assignment, examination in opened
            ]
            presegmentations = {
                case.acquisition_id: presegmentation_rows.best(session, case.acquisition_id) for _, case in cases
            }
            finals = {
                case: annotation
                for case, annotation in annotation_rows.finals(session, list(presegmentations)).items()
                if reader is None or self._may_see(session, annotation, reader)
            }
        names = self._workspace.scheme.label_names
        objects = {
            key: described(case, presegmentations[case.acquisition_id], finals.get(case.acquisition_id), names)
            for key, case in cases
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        """Images and masks to train on, as ids: paths of the server are nobody's business."""
        with self._catalog.read() as session:
            cases = annotation_rows.annotated_examinations(session)
        return [{"image": identifier, "label": identifier, "revision": number} for identifier, number in cases]

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

    def image_info(self, image_id: str, reader: Reader) -> dict[str, Any]:
        """What a client may know of an image."""
        return image_info(self.examination(image_id, reader))

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return self.label_info(label_id, label_tag, Reader())

    def label_info(self, label_id: str, tag: str, reader: Reader) -> dict[str, Any]:
        """What a client may know of a label; ``params.label_names`` is always the whole scheme."""
        examination = self.examination(label_id, reader)
        with self._catalog.read() as session:
            if check_tag(tag) == ORIGINAL:
                presegmentation = presegmentation_rows.best(session, examination.acquisition_id)
                info = (
                    presegmentation_info(presegmentation, self._workspace.scheme.label_names)
                    if presegmentation
                    else None
                )
            else:
                annotation = annotation_rows.finals(session, [examination.acquisition_id]).get(
                    examination.acquisition_id
                )
                shown = annotation is not None and self._may_see(session, annotation, reader)
                info = annotation_info(annotation, self._workspace.scheme.label_names) if annotation and shown else None
        if info is None:
            raise NotFound(f"{examination.id} has no label with the tag {tag!r}")
        return info

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._catalog.read() as session:
            return list(acquisitions.primary_ids(session, annotated=True))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._catalog.read() as session:
            return list(acquisitions.primary_ids(session, annotated=False))

    def list_images(self) -> list[str]:
        with self._catalog.read() as session:
            return list(acquisitions.primary_ids(session))

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        raise Conflict("the annotated data set is exported with: mrseg-label export DIR --format nnunet")

    def refresh(self) -> None:
        """Nothing to do: the catalogue is always up to date."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        return self.upload(image_id, Path(image_filename), reader_of(image_info))

    def remove_image(self, image_id: str) -> None:
        raise _fixed("a stored image")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        upload = Path(label_filename)
        return self.submit(image_id, upload, upload.name, label_tag, reader_of(label_info), label_info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        raise _fixed("a stored label")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        raise _fixed("an image's description")

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        raise _fixed("a label's description")

    def _may_see(self, session: Session, annotation: Annotation, reader: Reader) -> bool:
        """Whether a reader may look at a mask: their own, one they go on from, and otherwise none that they read after.

        A second reading is worth something only if it is made without the first.
        """
        if reader.account is None or annotation.author == reader.account:
            return True
        held = assignments.newest(session, annotation.acquisition_id, reader)
        if held is not None and held.ended_at is None:
            return held.annotation_id == annotation.id or (reader.sees_every_case and not held.second_reading)
        return reader.sees_every_case


def check_tag(tag: str) -> str:
    """Return the tag if it is one of ours."""
    if tag not in (ORIGINAL, FINAL):
        raise InvalidInput(
            f"the tag of a label is {ORIGINAL!r} (the draft) or {FINAL!r} (the correction), not {tag!r:.80}"
        )
    return tag


def _fixed(what: str) -> Conflict:
    return Conflict(f"{what} cannot be changed or removed through the MONAI Label protocol")
