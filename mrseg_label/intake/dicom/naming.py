"""Name the images of a DICOM export; nothing that identifies a patient goes further than this module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.imaging.dicom import Stack, stacks_of
from mrseg_label.intake.dicom import chaos
from mrseg_label.intake.dicom.exports import Export
from mrseg_label.intake.dicom.masks import DicomMask, MaskIntake
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.dicom.redaction import Redaction
from mrseg_label.intake.dicom.scan import Scan, scan_export
from mrseg_label.intake.dicom.sequence_names import dixon_channel, reason_to_refuse, sequence_of
from mrseg_label.intake.dicom.series import SeriesFiles
from mrseg_label.intake.dicom.stated import StatedNames
from mrseg_label.intake.dicom.stations import Station, find_stations
from mrseg_label.intake.files.containers import DamagedZip, Folder, Zip
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.text import listed


def name_export(
    export: Export,
    options: ImportOptions,
    pseudonyms: Pseudonyms,
    report: ImportReport,
    masks: MaskIntake | None = None,
) -> Iterator[list[NamedImage]]:
    """Yield the images of an export, grouped by participant, session and station; refusals go to the report.

    Parameters
    ----------
    masks : takes the segmentations and structure sets of the export; without it they are left out.
    """
    try:
        files = export.open()
    except (MrsegError, OSError) as error:
        report.refuse(export.found.shown, str(error))
        return
    try:
        scan = scan_export(files)
    except DamagedZip as error:
        report.refuse(export.found.shown, str(error))
        return
    stated = StatedNames(export, options)
    patients = {frame.patient for frame in scan.frames} | {found.references.patient for found in scan.masks}
    redact = Redaction(patients, stated.codes)
    scan.report_problems(export, redact, report)
    for other in export.beside:
        report.pass_over(redact(other.shown), "not a DICOM image")
    if not scan.frames and not scan.refused and not (masks and scan.masks):
        report.refuse(redact(export.found.shown), "contains no DICOM images of MR or CT")
        return
    naming = _Naming(export, files, scan, stated, pseudonyms, redact, report, options.masks is None)
    studies: dict[tuple[str, str], list[Stack]] = {}
    paths = {file.relative.as_posix(): file.path for file in export.files}
    for stack in stacks_of(chaos.join_series(scan.usable_frames(), paths), dixon_channel):
        studies.setdefault((stack.first.patient.key, stack.first.study), []).append(stack)
    groups = (group for stacks in studies.values() for group in naming.name_study(stacks))
    yield from groups if masks is None or not scan.masks else naming.give_masks(list(groups), masks)


@dataclass(frozen=True)
class _Naming:
    """Names the images of one export."""

    export: Export
    files: Folder | Zip
    scan: Scan
    stated: StatedNames
    pseudonyms: Pseudonyms
    redact: Redaction
    report: ImportReport
    take_ground: bool  # of CHAOS; False where the import says itself where masks are

    def name_study(self, stacks: Sequence[Stack]) -> list[list[NamedImage]]:
        """Name the images of one study and group them."""
        accepted: list[Stack] = []
        for stack in stacks:
            reason = reason_to_refuse(stack.frames)
            if reason is not None:
                self.report.refuse(self._shown(stack), reason)
                continue
            accepted.append(stack)
        sequences = [sequence_of(stack.first) for stack in accepted]
        stations = find_stations(accepted, sequences)
        groups: dict[tuple[str, ...], list[NamedImage]] = {}
        for index, (stack, sequence) in enumerate(zip(accepted, sequences, strict=True)):
            try:
                image = self._name_stack(stack, sequence, stations.get(index, Station("")))
            except InvalidInput as error:
                self.report.refuse(self._shown(stack), self.redact(str(error)))
                continue
            groups.setdefault(image.group_key, []).append(image)
        return list(groups.values())

    def give_masks(self, groups: list[list[NamedImage]], masks: MaskIntake) -> list[list[NamedImage]]:
        """Give each segmentation and structure set of the export to the image that it refers to."""
        assignment = masks.assign(groups)
        for found in self.scan.masks:
            try:
                code = self.stated.fields_of(found.name).get("participant")
            except InvalidInput:
                code = None
            code = code or self.pseudonyms.participant_code(found.references.patient)
            one = DicomMask(found, self.files, self.export, self.redact, code)
            if masks.by_pattern:
                self.report.pass_over(
                    one.shown,
                    "a DICOM segmentation or structure set; with --masks, only masks that it leads to are imported",
                )
            elif found.references.automatic:
                names = self.redact(listed(found.references.automatic, 3))
                self.report.refuse(
                    one.shown,
                    f"a program made it ({names}: AUTOMATIC), and drafts do not become annotations; to import it nevertheless, "
                    "lead to it with --masks",
                )
            elif not assignment.give(one):
                masks.lonely.append(one)
        return assignment.groups

    def _name_stack(self, stack: Stack, sequence: str, station: Station) -> NamedImage:
        frame, patient, warnings = stack.first, stack.first.patient, []
        fields = self.stated.fields_of(frame.file)
        code = fields.get("participant")
        if code is None:
            code = self.pseudonyms.participant_code(patient)
            if not patient.known:
                warnings.append("the files identify no patient, so each study is a participant of its own")
        session = [fields.get("session", ""), self.pseudonyms.token("study", frame.study, frame.reference)]
        split = stack.split.split(", ")
        # The body moves between time points: each is an acquisition of its own.
        session += [part for part in split if part.startswith("time point")]
        if station.repeats > 1:
            session.append(f"scan {station.repeat}")
            where = station.name or "this station"
            if station.repeat > 1:
                warnings.append(
                    f"repeat scan: number {station.repeat} of {station.repeats} of {where}, kept as an acquisition of its own"
                )
        details = [part for part in split if part.startswith(("echo", "b value", "image type", "flip angle"))]
        if stack.split:
            warnings.append(f"one of several images of its series: {stack.split}")
        shown = self._shown(stack)
        series = SeriesFiles(stack, self.files, self.export, self.redact, fields.get("session", ""))
        ground = series.ground if self.take_ground else None
        return NamedImage(
            path=self.export.found.path,
            shown=shown,
            origin=shown,
            participant=code,
            stated=True,
            session=" ".join(part for part in session if part),
            station=fields.get("station", "") or station.name,
            sequence=" ".join([fields.get("sequence", "") or sequence, *details]).strip(),
            warnings=(*warnings, *self._warn_of_unreadable(series)),
            series=series,
            mask=ground,
            mask_labels=None if ground is None else chaos.labels_of(ground),
            mask_lenient=ground is not None,
            sex=patient.sex,
            age=patient.age,
            dicom_series=self.pseudonyms.series(stack.first.series),
        )

    def _warn_of_unreadable(self, series: SeriesFiles) -> list[str]:
        """Warn of unreadable files in the folders of an image: the first or last slices may be missing."""
        count = sum(self.scan.unreadable[folder] for folder in series.folders)
        if not count:
            return []
        return [
            f"{count} files in the same folder could not be read; if they were the first or last slices of this image, "
            "it is incomplete"
        ]

    def _shown(self, stack: Stack) -> str:
        """Return where an image comes from, without a name or a UID."""
        series = self.pseudonyms.token("series", stack.first.series)
        split = f", {stack.split}" if stack.split else ""
        return f"{self.redact(self.export.found.shown)} (series {stack.first.number}, {series}{split})"
