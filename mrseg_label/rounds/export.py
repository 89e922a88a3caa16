"""Export the annotated data set from the workspace, for nnU-Net or as plain NIfTI files."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions, participants, stations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.files import replacing
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.dataset_json import PROPAGATED_TABLE
from mrseg_label.nnunet.modality import CT
from mrseg_label.rounds.filling import FilledMask, fill_not_annotated, not_annotated
from mrseg_label.rounds.filling_choice import FillingPlan, choose_drafts, filling_models
from mrseg_label.rounds.stations import Stations
from mrseg_label.rounds.training_labels import make_training_labels
from mrseg_label.workspace import Workspace

DATASET_NAME = "Dataset500_mrseg"
TABLE = "cases.tsv"
FILLED_TABLE = "filled.tsv"  # in an nnU-Net data set
LEFT_OUT_TABLE = "left_out.tsv"
COLUMNS = (
    "participant", "held_out", "station", "sequence", "examination", "acquisition", "image", "mask",
    "revision", "author", "drawn_on_this_channel", "not_annotated", "filled", "filled_from", "propagated_from",
)  # fmt: skip
Progress = Callable[[int, int], None]


class ExportFormat(StrEnum):
    """Format of an exported data set."""

    NNUNET = "nnunet"
    NIFTI = "nifti"


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes
    ----------
    images : number of examinations; the channels of an acquisition share its mask.
    propagated : number of those whose mask was drawn on another channel.
    left_out : number of channels of these acquisitions that do not carry its mask.
    acquisitions : number of annotated acquisitions, each with one mask.
    """

    form: ExportFormat
    folder: Path
    images: int
    acquisitions: int
    participants: int
    held_out_participants: int
    propagated: int
    left_out: int


@dataclass(frozen=True)
class _Case:
    acquisition: Acquisition
    channels: Sequence[Examination]
    annotation: Annotation
    left_out: Mapping[str, str]  # reasons, by id of the channel

    def drawn_elsewhere(self, channel: Examination) -> str:
        """Return the id of the channel that its mask was propagated from; empty if it was drawn on this one."""
        return "" if self.annotation.examination_id == channel.id else self.annotation.examination_id


def export_dataset(
    workspace: OpenedWorkspace,
    target: Path,
    form: ExportFormat,
    *,
    primary_only: bool = False,
    filled: bool = False,
    submitted: bool = False,
    codes: Collection[str] = (),
    progress: Progress | None = None,
) -> ExportResult:
    """Export every annotated acquisition with its newest accepted annotation.

    ``nnunet`` writes ``target/Dataset500_mrseg`` as a round trains on it
    (:mod:`mrseg_label.rounds.training_labels`): every channel that carries the mask is a case; structures that were not annotated are
    filled from a pre-segmentation, or their possible place or the background is ignored; held-out participants are the
    validation cases of ``splits_final.json``. ``filled.tsv`` lists for each case the filled structures, the model
    version that they come from (where there are several, one for each structure), and the structures because of which
    the background, or a part of it, is ignored. ``propagated.tsv`` lists for each case whose mask was drawn on another channel
    that channel.

    ``nifti`` writes ``target/images`` and ``target/masks`` as they are stored, the label scheme, and ``cases.tsv``,
    which lists for each image its mask, the channel that the mask was propagated from, and the structures that were not
    annotated.

    Channels that do not carry the mask of their acquisition (:mod:`mrseg_label.catalog.propagation`) are left out;
    ``left_out.tsv`` says why, where there are any.

    Parameters
    ----------
    primary_only : only the channel that readers open, without the other channels of the acquisition.
    filled : with ``nifti``, also fill structures that were not annotated; ``cases.tsv`` lists them.
    submitted : also annotations that await review, where they are the newest of their case.
    codes : of these participants alone, where there are any.
    progress : called with the number of cases done and their total.

    Raises
    ------
    Conflict
        The data set's folder exists already, or ``target`` is not empty (``nifti``).
    InvalidInput
        Nothing is annotated.
    """
    cases = _cases(workspace.catalog, primary_only, submitted, codes)
    if not cases:
        raise InvalidInput("nothing is annotated yet, so there is no data set to export; annotate a case first")
    target.mkdir(parents=True, exist_ok=True)
    report_progress = progress or (lambda _done, _total: None)
    if form is ExportFormat.NNUNET:
        folder = _write_nnunet(workspace, target, cases, report_progress)
    else:
        folder = _write_nifti(workspace, target, cases, filled, report_progress)
    participant_held_out = {
        case.acquisition.participant.code: bool(case.acquisition.participant.held_out) for case in cases
    }
    return ExportResult(
        form=form,
        folder=folder,
        images=sum(len(case.channels) for case in cases),
        acquisitions=len(cases),
        participants=len(participant_held_out),
        held_out_participants=sum(participant_held_out.values()),
        propagated=sum(bool(case.drawn_elsewhere(channel)) for case in cases for channel in case.channels),
        left_out=sum(len(case.left_out) for case in cases),
    )


def _cases(catalog: Catalog, primary_only: bool, submitted: bool, codes: Collection[str]) -> list[_Case]:
    with catalog.begin() as session:
        participants.decide_held_out(session)
        found = []
        chosen = stations.participants_with_masks(session, submitted=submitted, codes=codes)
        for annotation_id in (one for _, _, annotation_ids in chosen for one in annotation_ids):
            annotation = annotation_rows.get(session, annotation_id)
            assert annotation is not None
            acquisition = acquisitions.get(session, annotation.acquisition_id)
            assert acquisition is not None
            every = acquisitions.channels(session, acquisition.id)
            left_out = without_mask(acquisition, every, annotation.examination_id)
            channels = [channel for channel in every if channel.id not in left_out]
            if primary_only:
                # The one that was drawn on where the one that readers open does not carry the mask.
                opened = [one for one in channels if one.id == acquisition.primary_examination_id]
                channels = opened or [one for one in channels if one.id == annotation.examination_id]
            found.append(_Case(acquisition, channels, annotation, left_out))
        return found


def _write_left_out(cases: Iterable[_Case], folder: Path) -> bool:
    """Write which channels do not carry a mask, and why; False where there are none."""
    lines = [f"{identifier}\t{reason}" for case in cases for identifier, reason in case.left_out.items()]
    if lines:
        (folder / LEFT_OUT_TABLE).write_text("\n".join(["examination\treason", *lines]) + "\n", encoding="utf-8")
    return bool(lines)


def _write_nnunet(workspace: OpenedWorkspace, target: Path, cases: Sequence[_Case], progress: Progress) -> Path:
    folder = target / DATASET_NAME
    if folder.exists():
        raise Conflict(f"{folder} exists already; remove it or export to another folder")
    held_out = {case.acquisition.participant.code for case in cases if case.acquisition.participant.held_out}
    if all(case.acquisition.participant.code in held_out for case in cases):
        held_out = set()  # nnU-Net needs a case to train on, and no other is annotated
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        training = []
        lines = ["case\tfilled\tfilled_from\tbackground_ignored_for\tplace_ignored_for"]
        with workspace.catalog.read() as session:
            annotations = [case.annotation for case in cases]
            labels = make_training_labels(workspace, session, annotations, Path(scratch), progress=progress)
        for case, label_map in zip(cases, labels.maps, strict=True):
            mask, hidden = label_map.mask, label_map.hidden
            described = "\t".join(
                (
                    ",".join(mask.structures),
                    mask.filled_from,
                    ",".join(hidden),
                    "" if hidden else ",".join(label_map.placed),
                )
            )
            lines += [f"{channel.id}\t{described}" for channel in case.channels if described.strip()]
            training += [
                TrainingCase(
                    case_id=channel.id,
                    image=workspace.path(channel.path),
                    label=label_map.mask.path,
                    participant=case.acquisition.participant.code,
                    image_digest=channel.digest,
                    label_digest=label_map.mask.digest,
                    background_known=label_map.background_known,
                    is_ct=channel.sequence == CT,
                    partly_ignored=label_map.partly_ignored,
                )
                for channel in case.channels
            ]
        write_raw_dataset(Path(scratch), DATASET_NAME, training, workspace.scheme, held_out=held_out)
        dataset = Path(scratch) / DATASET_NAME
        _unlink_from_workspace(dataset)
        (dataset / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        (dataset / FILLED_TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        propagated = [
            f"{channel.id}\t{case.drawn_elsewhere(channel)}"
            for case in cases
            for channel in case.channels
            if case.drawn_elsewhere(channel)
        ]
        (dataset / PROPAGATED_TABLE).write_text("\n".join(["case\tdrawn_on", *propagated]) + "\n", encoding="utf-8")
        _write_left_out(cases, dataset)
        dataset.rename(folder)
    progress(len(cases), len(cases))
    return folder


def _unlink_from_workspace(folder: Path) -> None:
    """Replace hard links to stored files by copies: an exported file may be edited, a stored one must not change."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_nlink > 1:
            with replacing(file, durable=False) as copy:
                shutil.copyfile(file, copy)


def _write_nifti(
    workspace: OpenedWorkspace, target: Path, cases: Sequence[_Case], filled: bool, progress: Progress
) -> Path:
    if any(target.iterdir()):
        raise Conflict(f"{target} is not empty; export to an empty or new folder")
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as scratch:
        folder = Path(scratch) / "export"
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream, workspace.catalog.read() as session:
            known = filling_models(workspace, session)
            known_stations = Stations(session, [case.annotation for case in cases])
            table = csv.writer(stream, delimiter="\t", lineterminator="\n")
            table.writerow(COLUMNS)
            for done, case in enumerate(cases):
                progress(done, len(cases))
                mask = FilledMask(workspace.path(case.annotation.path), None)
                if filled:
                    chosen = choose_drafts(workspace, session, case.annotation, known, known_stations)
                    drafts = FillingPlan({case.annotation.id: chosen}).of(session, case.annotation)
                    mask = fill_not_annotated(workspace, session, case.annotation, Path(scratch), drafts)
                table.writerows(_copy_case(workspace, folder, case, mask))
        (folder / "labels.tsv").write_text(workspace.scheme.text, encoding="utf-8")
        other = [LEFT_OUT_TABLE] if _write_left_out(cases, folder) else []
        # The table comes last, so that every file that it names exists.
        for name in ("images", "masks", "labels.tsv", *other, TABLE):
            (folder / name).rename(target / name)
    progress(len(cases), len(cases))
    return target


def _copy_case(workspace: Workspace, folder: Path, case: _Case, filled: FilledMask) -> Iterator[tuple[object, ...]]:
    annotation, participant = case.annotation, case.acquisition.participant
    mask = f"masks/{case.acquisition.id}.nii.gz"
    shutil.copyfile(filled.path, folder / mask)
    missing = ",".join(sorted(not_annotated(annotation, workspace.scheme)))
    for channel in case.channels:
        image = f"images/{channel.id}.nii.gz"
        shutil.copyfile(workspace.path(channel.path), folder / image)
        yield (
            participant.code, "yes" if participant.held_out else "no", case.acquisition.station, channel.sequence,
            channel.id, case.acquisition.id, image, mask, annotation.number, annotation.author,
            "yes" if annotation.examination_id == channel.id else "no", missing, ",".join(filled.structures),
            filled.filled_from, case.drawn_elsewhere(channel),
        )  # fmt: skip
