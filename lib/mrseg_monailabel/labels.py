"""Labels of examinations by their tags: the pre-segmentation, the annotation, and what reviewers save in Slicer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.remarks import delete_label, note, reviewer_of
from mrseg_label.annotation.versions import save_version
from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Presegmentation
from mrseg_label.errors import NotFound
from mrseg_label.imaging import write_nifti
from mrseg_label.presegmentation.service import presegmentation_for
from mrseg_label.reports import masks, reviewing
from mrseg_label.reports.downloads import Download, find_stored
from mrseg_label.reports.neighbours import read_neighbours
from mrseg_label.worklist import service as worklist
from mrseg_monailabel.descriptions import (
    FINAL,
    SUFFIX,
    describe_annotation,
    describe_presegmentation,
    image_file_name,
)
from mrseg_monailabel.mask_files import SEGMENTS, MaskForm, write_mask
from mrseg_monailabel.review_fields import (
    NEIGHBOURS,
    label_name,
    name_tag,
    parse_annotation_tag,
    parse_tag,
    read_fields,
)

REMAKE_SECONDS = 60.0  # in which a draft whose file is damaged is made again for a download


class Labels:
    """The labels of a workspace."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace

    def file(self, examination: Examination, tag: str, reader: Reader) -> Download:
        """Find the file of a pre-segmentation (tag ``original``) or of an annotation (``final``, ``version_N``).

        Raises
        ------
        NotFound
            There is none, or none that this reader may see.
        Unavailable
            The file of the pre-segmentation is damaged, and it could not be made again in time.
        """
        return self._find(examination, tag, reader)[0]

    def write_segments(self, examination: Examination, tag: str, reader: Reader, folder: Path) -> Path:
        """Write a label to a ``.seg.nrrd`` file in a folder, with the segments that were judged. Raises as :meth:`file`."""
        stored, judged = self._find(examination, tag, reader)
        target = folder / label_name(examination.id, SEGMENTS)
        form = MaskForm(SEGMENTS, "uint8" if len(self._workspace.scheme) < 256 else "uint16")
        image = self._workspace.path(examination.path)
        write_mask(stored.path, image, target, form, self._workspace.scheme, judged)
        return target

    def write_neighbours(self, examination: Examination, reader: Reader, folder: Path) -> Path:
        """Write what neighbouring stations have on the grid of a case to a ``.seg.nrrd`` file in a folder.

        Its segments are the structures that they have there.

        Raises
        ------
        NotFound
            There is no annotation of a neighbouring station that this reader may see.
        """
        labels, geometry, _ = read_neighbours(self._workspace, examination.id, reader)
        present = set(labels.ravel()[labels.ravel() > 0].tolist())
        source, target = folder / f"labels{SUFFIX}", folder / f"{examination.id}-{NEIGHBOURS}{SEGMENTS}"
        write_nifti(source, labels, geometry)
        scheme = self._workspace.scheme
        judged = {one.name for one in scheme if one.id in present}
        write_mask(source, self._workspace.path(examination.path), target, MaskForm(SEGMENTS), scheme, judged)
        return target

    def describe(
        self, examination: Examination, tag: str, reader: Reader, *, hides_case: bool = False
    ) -> dict[str, Any]:
        """Describe a label; ``params.label_names`` is always the complete scheme. Raises as :meth:`file`.

        Parameters
        ----------
        hides_case : whether its reader must not find out which case it is of.
        """
        names, number = self._workspace.scheme.shown_names, parse_tag(tag)
        if number is not None:
            return describe_annotation(self._annotation(examination, number, reader), names)
        presegmentation = self._draft(examination, reader)
        if presegmentation is None:
            raise NotFound(f"{_called(examination, reader)} has no label with the tag {tag!r} that you may see")
        return describe_presegmentation(presegmentation, names, hides_case=hides_case)

    def note_presegmentation_sent(self, examination: Examination, presegmentation_id: str, reader: Reader) -> None:
        """Note which pre-segmentation a reader was sent: the annotation is compared with that one."""
        worklist.note_presegmentation_sent(
            self._workspace.catalog, reader, examination.acquisition_id, presegmentation_id
        )

    def save_version(
        self,
        examination: Examination,
        upload: Path,
        file_name: str,
        number: int,
        reader: Reader,
        params: dict[str, Any],
    ) -> Submitted:
        """Store what a reviewer saves under ``version_N``, who is named in the params where nobody is signed in."""
        reader.check_may_review()
        fields = read_fields(params, required=False)
        if reader.account is None:
            reader = Reader(reviewer_of(reader, fields))
        return save_version(
            self._workspace,
            reader,
            number,
            fields,
            examination_id=examination.id,
            upload=upload,
            file_name=file_name,
            label_info=params.get("label_info", []),
        )

    def remark(self, examination: Examination, tag: str, reader: Reader, params: dict[str, Any]) -> dict[str, str]:
        """Keep what a reviewer says about an annotation: ``approved`` accepts it and ``flagged`` rejects it.

        Raises
        ------
        NotFound
            There is no such annotation.
        Forbidden
            The reader may not review, or not this annotation.
        InvalidInput
            The tag or the params have an impossible value.
        """
        number, fields = parse_annotation_tag(tag), read_fields(params)
        reader.check_may_review()
        note(self._workspace.catalog, reader, examination.acquisition_id, number, fields)
        return {"image": examination.id, "label": examination.id, "tag": tag}

    def withdraw(self, examination: Examination, tag: str, reader: Reader) -> dict[str, str]:
        """Withdraw an annotation, as a reviewer deletes it in Slicer; nothing is removed from disk. Raises as :meth:`remark`."""
        number = parse_annotation_tag(tag)
        reader.check_may_review()
        delete_label(self._workspace.catalog, reader, examination.acquisition_id, number)
        return {"image": examination.id, "label": examination.id, "tag": tag}

    def _find(self, examination: Examination, tag: str, reader: Reader) -> tuple[Download, set[str] | None]:
        """Find the file of a label, and the structures that its annotation judged (of a pre-segmentation: None)."""
        number = parse_tag(tag)
        name = image_file_name(examination).removesuffix(SUFFIX) + f"-{tag}{SUFFIX}"
        if number is not None:
            annotation = self._annotation(examination, number, reader, show=True)
            return find_stored(self._workspace, annotation, name), annotation.judged
        presegmentation = self._draft(examination, reader)
        if presegmentation is None:
            raise NotFound(f"{_called(examination, reader)} has no draft yet; request one with infer")
        if not is_whole(self._workspace, presegmentation):
            presegmentation = presegmentation_for(self._workspace, examination.id, wait_seconds=REMAKE_SECONDS)
        self.note_presegmentation_sent(examination, presegmentation.id, reader)
        return find_stored(self._workspace, presegmentation, name), None

    def _draft(self, examination: Examination, reader: Reader) -> Presegmentation | None:
        """Read the draft of a case; None where there is none, or where it was drawn that the reader gets none."""
        catalog, case = self._workspace.catalog, examination.acquisition_id
        if worklist.is_draft_withheld(catalog, reader, case):
            return None
        return masks.read_presegmentation(catalog, case)

    def _annotation(self, examination: Examination, number: int, reader: Reader, *, show: bool = False) -> Annotation:
        """Read the annotation of a tag; with ``show``, note that the reader is sent it. Raises :class:`NotFound`."""
        catalog, acquisition_id = self._workspace.catalog, examination.acquisition_id
        if reader.may_review:
            read = reviewing.read_label_to_show if show else reviewing.read_label
            return read(catalog, acquisition_id, number, reader)
        annotation = masks.read_final(catalog, acquisition_id, reader) if name_tag(number) == FINAL else None
        if annotation is None:
            raise NotFound(f"{_called(examination, reader)} has no accepted annotation that you may see")
        return annotation


def _called(examination: Examination, reader: Reader) -> str:
    """How a message calls a case: a reader who got a ticket knows no id of it."""
    return examination.id if reader.sees_every_case else "this case"
