"""MONAI Label's datastore over our catalogue."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from sqlalchemy.orm import Session

from mrseg_label.annotation import service as annotation
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import datastore as rows
from mrseg_label.catalog.queries import worklist as worklist_rows
from mrseg_label.catalog.tables import Examination, Presegmentation, Revision
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake import service as intake
from mrseg_label.presegmentation.service import newest_draft
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.resolving import resolve_image
from mrseg_label.workspace import Workspace
from mrseg_monailabel.caller import Caller
from mrseg_monailabel.described import (
    FINAL,
    ORIGINAL,
    SUFFIX,
    described,
    draft_info,
    file_name_of,
    image_info,
    revision_info,
)
from mrseg_monailabel.stored import StoredFile


class MRSegDatastore(Datastore):
    """Images, drafts and corrections as MONAI Label names them.

    What would change or remove a stored file is refused: nothing stored is ever overwritten.
    """

    def __init__(self, workspace: Workspace, catalog: Catalog) -> None:
        self._workspace = workspace
        self._catalog = catalog

    # What routes and infer task use

    def examination(self, image: str, caller: Caller, to_submit: bool = False) -> Examination:
        """The examination that a client means by an id, a ticket or its own name for an uploaded image."""
        return resolve_image(
            self._catalog,
            image,
            client=caller.client,
            user=caller.user,
            every_case=caller.every_case,
            to_submit=to_submit,
        )

    def image_file(self, image: str, caller: Caller) -> StoredFile:
        """The stored image."""
        examination = self.examination(image, caller)
        return StoredFile(self._workspace.path(examination.path), file_name_of(examination), examination.digest)

    def label_file(self, label: str, tag: str, caller: Caller) -> StoredFile:
        """The draft (tag ``original``) or the newest accepted correction (``final``)."""
        examination = self.examination(label, caller)
        name = file_name_of(examination).removesuffix(SUFFIX) + f"-{check_tag(tag)}{SUFFIX}"
        if tag == FINAL:
            path, revision = annotation.final_mask(self._workspace, self._catalog, examination)
            with self._catalog.read() as session:
                if not self._may_see(session, revision, caller):
                    raise NotFound(f"{examination.id} has no correction of yours")
            return StoredFile(path, name, revision.digest)
        with self._catalog.read() as session:
            draft = newest_draft(session, examination.acquisition_id)
        if draft is None:
            raise NotFound(f"there is no draft of {examination.id} yet; ask for one by infer")
        self.note_sent(examination, draft, caller)
        return StoredFile(self._workspace.path(draft.path), name, draft.digest)

    def note_sent(self, examination: Examination, draft: Presegmentation, caller: Caller) -> None:
        """Note which draft a reader was given: the correction is compared with that one."""
        worklist.draft_sent(
            self._catalog,
            acquisition_id=examination.acquisition_id,
            presegmentation_id=draft.id,
            client=caller.client,
            user=caller.user,
        )

    def submit(self, image: str, upload: Path, file_name: str, tag: str, caller: Caller, params: dict[str, Any]) -> str:
        """Store a correction as a new revision; returns the examination's id."""
        if check_tag(tag) != FINAL:
            raise InvalidInput(
                f"a correction is submitted with the tag {FINAL!r}, not {tag!r}: drafts are made by the server"
            )
        examination = self.examination(image, caller, to_submit=True)
        annotation.submit(
            self._workspace,
            self._catalog,
            examination_id=examination.id,
            upload=upload,
            file_name=file_name,
            label_info=params.get("label_info"),
            client=caller.client,
            user=caller.user,
            params=params,
        )
        return examination.id

    def upload(self, alias: str, file: Path, caller: Caller) -> str:
        """Take in a reader's own image under the reader's name for it; returns the examination's id."""
        return intake.register_upload(
            self._workspace,
            self._catalog,
            file,
            alias=alias,
            client=caller.user or caller.client,
            joins=caller.every_case,
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
            total, completed = worklist_rows.totals(session)
        return {"total": total, "completed": completed, "label_tags": {FINAL: completed}}

    def json(self, caller: Caller | None = None) -> dict[str, Any]:
        """The cases that are handed out now; never the whole catalogue, which may have a million images.

        With sign-in these are the caller's own, each under its ticket, as the reader knows them.
        """
        user = caller.user if caller else None
        with self._catalog.read() as session:
            moment = self._catalog.now(session)
            opened = worklist_rows.open_examinations(session, None, user)
            cases = [
                (lease.ticket if user else examination.id, examination)
                for lease, examination in opened
                if lease.expires_at > moment
            ]
            drafts = {case.acquisition_id: newest_draft(session, case.acquisition_id) for _, case in cases}
            finals = {
                case: revision
                for case, revision in rows.final_revisions(session, list(drafts)).items()
                if caller is None or self._may_see(session, revision, caller)
            }
        names = self._workspace.scheme.label_names
        objects = {
            key: described(case, drafts[case.acquisition_id], finals.get(case.acquisition_id), names)
            for key, case in cases
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        """Images and masks to train on, as ids: paths of the server are nobody's business."""
        with self._catalog.read() as session:
            cases = rows.annotated(session)
        return [{"image": identifier, "label": identifier, "revision": number} for identifier, number in cases]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return {tag: image_id for tag in (ORIGINAL, FINAL) if self.get_label_by_image_id(image_id, tag)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        try:
            self.label_file(image_id, tag, Caller())
        except NotFound:
            return ""
        return image_id

    def get_image(self, image_id: str, params: Any = None) -> BytesIO:
        return BytesIO(self.image_file(image_id, Caller.of(params)).path.read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        return str(self.image_file(image_id, Caller()).path)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> BytesIO:
        return BytesIO(self.label_file(label_id, label_tag, Caller.of(params)).path.read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        return str(self.label_file(label_id, label_tag, Caller()).path)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        return self.image_info(image_id, Caller())

    def image_info(self, image_id: str, caller: Caller) -> dict[str, Any]:
        """What a client may know of an image."""
        return image_info(self.examination(image_id, caller))

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return self.label_info(label_id, label_tag, Caller())

    def label_info(self, label_id: str, tag: str, caller: Caller) -> dict[str, Any]:
        """What a client may know of a label; ``params.label_names`` is always the whole scheme."""
        examination = self.examination(label_id, caller)
        with self._catalog.read() as session:
            if check_tag(tag) == ORIGINAL:
                draft = newest_draft(session, examination.acquisition_id)
                info = draft_info(draft, self._workspace.scheme.label_names) if draft else None
            else:
                revision = rows.final_revisions(session, [examination.acquisition_id]).get(examination.acquisition_id)
                shown = revision is not None and self._may_see(session, revision, caller)
                info = revision_info(revision, self._workspace.scheme.label_names) if revision and shown else None
        if info is None:
            raise NotFound(f"{examination.id} has no label with the tag {tag!r}")
        return info

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._catalog.read() as session:
            return list(rows.primary_ids(session, annotated=True))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        with self._catalog.read() as session:
            return list(rows.primary_ids(session, annotated=False))

    def list_images(self) -> list[str]:
        with self._catalog.read() as session:
            return list(rows.primary_ids(session))

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        raise Conflict("the annotated data set is exported with: mrseg-label export DIR --format nnunet")

    def refresh(self) -> None:
        """Nothing to do: the catalogue is always up to date."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        return self.upload(image_id, Path(image_filename), Caller.of(image_info))

    def remove_image(self, image_id: str) -> None:
        raise _fixed("a stored image")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        upload = Path(label_filename)
        return self.submit(image_id, upload, upload.name, label_tag, Caller.of(label_info), label_info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        raise _fixed("a stored label")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        raise _fixed("an image's description")

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        raise _fixed("a label's description")

    def _may_see(self, session: Session, revision: Revision, caller: Caller) -> bool:
        """Whether a reader may look at a mask: their own, one they go on from, and otherwise none that they read after.

        A second reading is worth something only if it is made without the first.
        """
        if caller.user is None or revision.author == caller.user:
            return True
        held = worklist_rows.newest_lease(session, revision.acquisition_id, caller.client, caller.user)
        if held is not None and held.ended_at is None:
            return held.revision_id == revision.id or (caller.every_case and not held.second_read)
        return caller.every_case


def check_tag(tag: str) -> str:
    """Return the tag if it is one of ours."""
    if tag not in (ORIGINAL, FINAL):
        raise InvalidInput(
            f"the tag of a label is {ORIGINAL!r} (the draft) or {FINAL!r} (the correction), not {tag!r:.80}"
        )
    return tag


def _fixed(what: str) -> Conflict:
    return Conflict(f"{what} cannot be changed or removed through the MONAI Label protocol")
