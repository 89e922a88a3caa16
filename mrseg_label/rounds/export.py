"""The annotated data set, out of the workspace."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Acquisition, Examination, Revision
from mrseg_label.catalog.types import StructureState
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.rounds.snapshot import completed_mask
from mrseg_label.workspace import Workspace

DATASET_NAME = "Dataset500_mrseg"
TABLE = "cases.tsv"
COLUMNS = (
    "participant", "held_out", "station", "sequence", "examination", "acquisition", "image", "mask",
    "revision", "author", "drawn_on_this_channel", "not_annotated",
)  # fmt: skip
Progress = Callable[[int, int], None]


class ExportFormat(StrEnum):
    """Form of an exported data set."""

    NNUNET = "nnunet"
    NIFTI = "nifti"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    images : examinations; the channels of an acquisition are images that share its mask.
    acquisitions : annotated cases, each with the one mask that counts.
    """

    form: ExportFormat
    folder: Path
    images: int
    acquisitions: int
    participants: int
    held_out_participants: int


@dataclass(frozen=True)
class _Case:
    acquisition: Acquisition
    channels: Sequence[Examination]
    revision: Revision


def export_dataset(
    workspace: Workspace,
    catalog: Catalog,
    target: Path,
    form: ExportFormat,
    *,
    primary_only: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write every annotated acquisition with the mask that counts: its newest accepted revision.

    ``nnunet``: ``target/Dataset500_mrseg``, as a round trains on it: every channel is a case, structures that
    a reader did not vouch for are filled from the draft, held-out participants are the validation cases of
    ``splits_final.json``. ``nifti``: ``target/images`` and ``target/masks`` as they are stored, with a table
    that says what belongs together and what nobody vouches for, and the label scheme.

    Parameters
    ----------
    primary_only : only the channel that readers open, not the others of its acquisition.
    progress : is called with the number of cases done and in all.

    Raises
    ------
    Conflict
        The folder (of the data set) exists already.
    InvalidInput
        Nothing is annotated.
    """
    cases = _cases(catalog, primary_only)
    if not cases:
        raise InvalidInput("nothing is annotated yet; there is no data set to export")
    target.mkdir(parents=True, exist_ok=True)
    write = _write_nnunet if form is ExportFormat.NNUNET else _write_nifti
    folder = write(workspace, catalog, target, cases, progress or (lambda _done, _total: None))
    people = {case.acquisition.participant.code: bool(case.acquisition.participant.held_out) for case in cases}
    return Exported(
        form=form,
        folder=folder,
        images=sum(len(case.channels) for case in cases),
        acquisitions=len(cases),
        participants=len(people),
        held_out_participants=sum(people.values()),
    )


def _cases(catalog: Catalog, primary_only: bool) -> list[_Case]:
    with catalog.begin() as session:
        participants.decide_held_out(session)
        found = []
        for revision, _ in rows.snapshot_candidates(session):
            acquisition = rows.acquisition(session, revision.acquisition_id)
            assert acquisition is not None
            channels = [
                channel
                for channel in rows.channels(session, acquisition.id)
                if not primary_only or channel.id == acquisition.primary_examination_id
            ]
            found.append(_Case(acquisition, channels, revision))
        return found


def _write_nnunet(
    workspace: Workspace, catalog: Catalog, target: Path, cases: Sequence[_Case], progress: Progress
) -> Path:
    folder = target / DATASET_NAME
    if folder.exists():
        raise Conflict(f"{folder} is there already; export to another folder or remove it")
    held_out = {case.acquisition.participant.code for case in cases if case.acquisition.participant.held_out}
    if all(case.acquisition.participant.code in held_out for case in cases):
        held_out = set()  # nothing else is annotated; nnU-Net wants a case to train on
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        training = []
        with catalog.read() as session:
            for done, case in enumerate(cases):
                progress(done, len(cases))
                label, label_digest = completed_mask(workspace, session, case.revision, Path(scratch))
                training += [
                    TrainingCase(
                        case_id=channel.id,
                        image=workspace.path(channel.path),
                        label=label,
                        participant=case.acquisition.participant.code,
                        image_digest=channel.digest,
                        label_digest=label_digest,
                    )
                    for channel in case.channels
                ]
        write_raw_dataset(Path(scratch), DATASET_NAME, training, workspace.scheme, held_out=held_out)
        made = Path(scratch) / DATASET_NAME
        _unlink_from_workspace(made)
        (made / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        made.rename(folder)
    progress(len(cases), len(cases))
    return folder


def _unlink_from_workspace(folder: Path) -> None:
    """Give linked files a content of their own: what is exported may be edited, what is stored may not."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_nlink > 1:
            copy = file.with_name(f".{file.name}.part")
            shutil.copyfile(file, copy)
            os.replace(copy, file)


def _write_nifti(
    workspace: Workspace, catalog: Catalog, target: Path, cases: Sequence[_Case], progress: Progress
) -> Path:
    if any(target.iterdir()):
        raise Conflict(f"{target} is not empty; export to another folder")
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        folder = Path(scratch) / "export"
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, delimiter="\t", lineterminator="\n")
            table.writerow(COLUMNS)
            for done, case in enumerate(cases):
                progress(done, len(cases))
                table.writerows(_copy_case(workspace, folder, case))
        (folder / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        # The table last: what it names is there.
        for name in ("images", "masks", "labels.tsv", TABLE):
            (folder / name).rename(target / name)
    progress(len(cases), len(cases))
    return target


def _copy_case(workspace: Workspace, folder: Path, case: _Case) -> Iterator[tuple[object, ...]]:
    revision, participant = case.revision, case.acquisition.participant
    mask = f"masks/{case.acquisition.id}.nii.gz"
    shutil.copyfile(workspace.path(revision.path), folder / mask)
    missing = ",".join(sorted(s.structure for s in revision.structures if s.state is StructureState.NOT_ANNOTATED))
    for channel in case.channels:
        image = f"images/{channel.id}.nii.gz"
        shutil.copyfile(workspace.path(channel.path), folder / image)
        yield (
            participant.code, "yes" if participant.held_out else "no", case.acquisition.station, channel.sequence,
            channel.id, case.acquisition.id, image, mask, revision.number, revision.author,
            "yes" if revision.examination_id == channel.id else "no", missing,
        )  # fmt: skip
