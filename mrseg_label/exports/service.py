"""Export the annotated data set in one of several forms: to a folder, or as a zip that is sent while it is made."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import InvalidInput
from mrseg_label.exports.bids import bids_files
from mrseg_label.exports.card import card_text, make_card
from mrseg_label.exports.dataset import DataSet, MaskChoice, Selection, choose
from mrseg_label.exports.dicom import dicom_files, originals_of
from mrseg_label.exports.files import File, json_file, moved_file, text_file
from mrseg_label.exports.folder import export_folder
from mrseg_label.exports.participants import participant_files
from mrseg_label.exports.whole_body import WholeBodies
from mrseg_label.files import make_folder, sha256_of
from mrseg_label.rounds.export import DATASET_NAME, ExportFormat, export_dataset

NAME = "Annotated data set"
Progress = Callable[[int, int], None]


class Form(StrEnum):
    """Form of an exported data set."""

    NNUNET = "nnunet"
    NIFTI = "nifti"
    BIDS = "bids"
    PARTICIPANTS = "participants"
    DICOM_SEG = "dicom-seg"


STREAMED = (Form.BIDS, Form.PARTICIPANTS, Form.DICOM_SEG)
_COMPOSED = (Form.BIDS, Form.PARTICIPANTS)


@dataclass(frozen=True)
class Options:
    """How a data set is exported.

    Attributes
    ----------
    filled : with ``nifti``, fill structures that were not annotated from drafts.
    name : of the data set, for its card.
    whole_bodies : whether, and how, the stations of each participant are composed too.
    originals : with ``dicom-seg``, DICOM files, folders and zips that the images were imported from: segmentations refer to them.
    """

    form: Form
    selection: Selection = field(default_factory=Selection)
    filled: bool = False
    name: str = NAME
    whole_bodies: WholeBodies = field(default_factory=WholeBodies)
    originals: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise :class:`InvalidInput` if an option does not go with the form."""
        if self.filled and self.form is not Form.NIFTI:
            raise InvalidInput(
                "only the form nifti can be filled from drafts on request; nnunet always is, others never are"
            )
        if self.whole_bodies and self.form not in _COMPOSED:
            raise InvalidInput(f"whole bodies are composed in the forms {' and '.join(_COMPOSED)}, not in {self.form}")
        if self.originals and self.form is not Form.DICOM_SEG:
            raise InvalidInput("original DICOM files are of use with the form dicom-seg alone; leave --originals out")


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    written, unchanged, removed : files of the folder; those of an earlier export that are the same are not written again.
    """

    form: Form
    folder: Path
    card: dict[str, Any]
    written: int
    unchanged: int
    removed: int


def export(workspace: OpenedWorkspace, target: Path, options: Options, progress: Progress | None = None) -> Exported:
    """Export the annotated data set to a folder, or bring an earlier export up to date.

    Parameters
    ----------
    target : a new or empty folder, or one that holds an earlier export of the same form. An nnU-Net data set becomes a folder
        ``Dataset500_mrseg`` in it.
    progress : called with the number of files done and their total, which grows.

    Raises
    ------
    Conflict
        The folder holds something else.
    InvalidInput
        Nothing is annotated, or an option does not go with the form.
    NotFound
        A participant has no annotated case.
    """
    options.check()
    dataset = choose(workspace, options.selection)
    card = make_card(dataset, options.name)
    folder = target / DATASET_NAME if options.form is Form.NNUNET else target
    total = 2 * card["examinations"] + card["acquisitions"]
    with export_folder(folder, options.form) as opened:
        for file in _files(dataset, options, card, folder, progress):
            opened.put(file)
            if progress is not None and options.form in STREAMED:
                done = opened.written + opened.unchanged
                progress(min(done, total - 1), total)
    if progress is not None:
        progress(total, total)
    return Exported(options.form, folder, card, opened.written, opened.unchanged, opened.removed)


def prepare(workspace: OpenedWorkspace, options: Options) -> Iterator[File]:
    """Choose what is exported to a zip, and return its files, which are made while they are taken. Raises as :func:`export`."""
    if options.form not in STREAMED:
        raise InvalidInput(
            f"the form {options.form} is made on the disk of the server: mrseg-label export DIR --format {options.form}; "
            f"sent are {' and '.join(STREAMED)}"
        )
    options.check()
    dataset = choose(workspace, options.selection)
    return _files(dataset, options, make_card(dataset, options.name), workspace.root, None)


def _files(
    dataset: DataSet, options: Options, card: dict[str, Any], folder: Path, progress: Progress | None
) -> Iterator[File]:
    if options.form is Form.BIDS:
        yield from bids_files(dataset, options.name, card, options.whole_bodies)
    elif options.form is Form.PARTICIPANTS:
        yield from participant_files(dataset, card, options.whole_bodies)
    elif options.form is Form.DICOM_SEG:
        yield from dicom_files(dataset, card, originals_of(dataset, options.originals))
    else:
        yield from _made_files(dataset, options, card, folder, progress)


def _made_files(
    dataset: DataSet, options: Options, card: dict[str, Any], folder: Path, progress: Progress | None
) -> Iterator[File]:
    """Make a data set that only the rounds know how to make, beside its place, and yield its files."""
    make_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        made = export_dataset(
            dataset.workspace,
            Path(scratch) / "made",
            ExportFormat(options.form),
            primary_only=options.selection.primary_only,
            filled=options.filled,
            submitted=options.selection.masks is MaskChoice.SUBMITTED,
            codes=options.selection.codes,
            progress=progress,
        ).folder
        for file in sorted(path for path in made.rglob("*") if path.is_file()):
            yield moved_file(file.relative_to(made).as_posix(), file, sha256_of(file))
    yield text_file("README.md", card_text(card))
    yield json_file("card.json", card)
