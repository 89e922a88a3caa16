"""The annotated data set, out of the workspace."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.files import replacing
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.rounds.filling import Filled, fill
from mrseg_label.rounds.label_maps import complete
from mrseg_label.workspace import Workspace

DATASET_NAME = "Dataset500_mrseg"
TABLE = "cases.tsv"
FILLED_TABLE = "filled.tsv"  # of an nnU-Net data set
COLUMNS = (
    "participant", "held_out", "station", "sequence", "examination", "acquisition", "image", "mask",
    "revision", "author", "drawn_on_this_channel", "not_annotated", "filled", "filled_from",
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
    annotation: Annotation


def export_dataset(
    workspace: OpenedWorkspace,
    target: Path,
    form: ExportFormat,
    *,
    primary_only: bool = False,
    filled: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write every annotated acquisition with the mask that counts: its newest accepted revision.

    ``nnunet``: ``target/Dataset500_mrseg``, as a round trains on it (:mod:`mrseg_label.rounds.label_maps`): every
    channel is a case, structures that a reader did not vouch for are filled from the draft, or the background is
    ignored, held-out participants are the validation cases of ``splits_final.json``; ``filled.tsv`` says which
    structures of which cases come from whose draft, and for which the background is ignored. ``nifti``:
    ``target/images`` and ``target/masks`` as they are stored, with a table that says what belongs together and
    what nobody vouches for, and the label scheme.

    Parameters
    ----------
    primary_only : only the channel that readers open, not the others of its acquisition.
    filled : with ``nifti``, fill from drafts too what readers did not vouch for; the table says where.
    progress : is called with the number of cases done and in all.

    Raises
    ------
    Conflict
        The folder (of the data set) exists already.
    InvalidInput
        Nothing is annotated.
    """
    cases = _cases(workspace.catalog, primary_only)
    if not cases:
        raise InvalidInput("nothing is annotated yet; there is no data set to export")
    target.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda _done, _total: None)
    if form is ExportFormat.NNUNET:
        folder = _write_nnunet(workspace, target, cases, report)
    else:
        folder = _write_nifti(workspace, target, cases, filled, report)
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
        for annotation, _ in annotation_rows.snapshot_candidates(session):
            acquisition = acquisitions.get(session, annotation.acquisition_id)
            assert acquisition is not None
            channels = [
                channel
                for channel in acquisitions.channels(session, acquisition.id)
                if not primary_only or channel.id == acquisition.primary_examination_id
            ]
            found.append(_Case(acquisition, channels, annotation))
        return found


def _write_nnunet(workspace: OpenedWorkspace, target: Path, cases: Sequence[_Case], progress: Progress) -> Path:
    folder = target / DATASET_NAME
    if folder.exists():
        raise Conflict(f"{folder} is there already; export to another folder or remove it")
    held_out = {case.acquisition.participant.code for case in cases if case.acquisition.participant.held_out}
    if all(case.acquisition.participant.code in held_out for case in cases):
        held_out = set()  # nothing else is annotated; nnU-Net wants a case to train on
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        training = []
        lines = ["case\tfilled\tfilled_from\tbackground_ignored_for"]
        with workspace.catalog.read() as session:
            annotations = [case.annotation for case in cases]
            labels = complete(workspace, session, annotations, Path(scratch), progress=progress)
        for case, label in zip(cases, labels.maps, strict=True):
            described = f"{','.join(label.mask.structures)}\t{label.model_version}\t{','.join(label.hidden)}"
            lines += [f"{channel.id}\t{described}" for channel in case.channels if described.strip()]
            training += [
                TrainingCase(
                    case_id=channel.id,
                    image=workspace.path(channel.path),
                    label=label.mask.path,
                    participant=case.acquisition.participant.code,
                    image_digest=channel.digest,
                    label_digest=label.mask.digest,
                    background_known=not label.hidden,
                )
                for channel in case.channels
            ]
        write_raw_dataset(Path(scratch), DATASET_NAME, training, workspace.scheme, held_out=held_out)
        made = Path(scratch) / DATASET_NAME
        _unlink_from_workspace(made)
        (made / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        (made / FILLED_TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        made.rename(folder)
    progress(len(cases), len(cases))
    return folder


def _unlink_from_workspace(folder: Path) -> None:
    """Give linked files a content of their own: what is exported may be edited, what is stored may not."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_nlink > 1:
            with replacing(file, durable=False) as copy:
                shutil.copyfile(file, copy)


def _write_nifti(
    workspace: OpenedWorkspace, target: Path, cases: Sequence[_Case], filled: bool, progress: Progress
) -> Path:
    if any(target.iterdir()):
        raise Conflict(f"{target} is not empty; export to another folder")
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        folder = Path(scratch) / "export"
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream, workspace.catalog.read() as session:
            table = csv.writer(stream, delimiter="\t", lineterminator="\n")
            table.writerow(COLUMNS)
            for done, case in enumerate(cases):
                progress(done, len(cases))
                source = Filled(workspace.path(case.annotation.path), None)
                if filled:
                    source = fill(workspace, session, case.annotation, Path(scratch))
                table.writerows(_copy_case(workspace, folder, case, source))
        (folder / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        # The table last: what it names is there.
        for name in ("images", "masks", "labels.tsv", TABLE):
            (folder / name).rename(target / name)
    progress(len(cases), len(cases))
    return target


def _copy_case(workspace: Workspace, folder: Path, case: _Case, source: Filled) -> Iterator[tuple[object, ...]]:
    annotation, participant = case.annotation, case.acquisition.participant
    mask = f"masks/{case.acquisition.id}.nii.gz"
    shutil.copyfile(source.path, folder / mask)
    missing = ",".join(sorted(item.structure for item in annotation.structures if not item.state.judged))
    for channel in case.channels:
        image = f"images/{channel.id}.nii.gz"
        shutil.copyfile(workspace.path(channel.path), folder / image)
        yield (
            participant.code, "yes" if participant.held_out else "no", case.acquisition.station, channel.sequence,
            channel.id, case.acquisition.id, image, mask, annotation.number, annotation.author,
            "yes" if annotation.examination_id == channel.id else "no", missing, ",".join(source.structures),
            source.presegmentation.model_version if source.presegmentation is not None and source.structures else "",
        )  # fmt: skip
