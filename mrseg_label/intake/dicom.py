"""DICOM exports, folders or zips, to groups of images; nothing that names a person goes further than this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.imaging.dicom import Frame, NotAnImage, Stack, Unusable, read_frames, stacks_of
from mrseg_label.intake.assign import Source
from mrseg_label.intake.containers import Damaged, Folder, Read, Zip
from mrseg_label.intake.dicom_sequence import channel_of, sequence_of, why_not
from mrseg_label.intake.discover import DICOM_SUFFIXES, Found
from mrseg_label.intake.exports import Export, Volume, folder_of
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.participants import clean_code
from mrseg_label.intake.pattern import Pattern
from mrseg_label.intake.pseudonyms import Pseudonyms, Redaction
from mrseg_label.intake.stations import Place, places
from mrseg_label.intake.ukbiobank import is_manifest, read_manifest, zip_name


def groups_of(
    export: Export, options: ImportOptions, pseudonyms: Pseudonyms, report: ImportReport
) -> Iterator[list[Source]]:
    """The images of an export, those of one scan together; what cannot come in stands in the report."""
    try:
        files: Folder | Zip = (
            Zip.checked(export.found.path) if export.is_zip else Folder({str(f.relative): f.path for f in export.files})
        )
    except (MrsegError, OSError) as error:
        report.refuse(export.found.shown, str(error))
        return
    problems = _Problems()
    try:
        frames = _scan(files, problems)
    except Damaged as error:
        report.refuse(export.found.shown, str(error))
        return
    stated = _Stated(export, options)
    redact = Redaction({frame.person for frame in frames}, stated.codes)
    problems.tell(redact(export.found.shown), export.is_zip, redact, report)
    for other in export.beside:
        report.pass_over(redact(other.shown), "no DICOM image")
    if not frames and not problems.refused:
        report.refuse(redact(export.found.shown), "holds no DICOM image of MR or CT")
        return
    frames = [frame for frame in frames if frame.series not in problems.broken_series]
    studies: dict[tuple[str, str], list[Stack]] = {}
    for stack in stacks_of(frames, channel_of):
        studies.setdefault((stack.first.person.key, stack.first.study), []).append(stack)
    for stacks in studies.values():
        for group in _study(stacks, files, export, stated, pseudonyms, redact, report):
            yield [problems.noted(source) for source in group]


class _Problems:
    """What could not be read, gathered by reason: a series of hundred files is one line."""

    def __init__(self) -> None:
        self.refused: dict[str, list[str]] = {}
        self.passed_over: dict[str, list[str]] = {}
        self.broken_series: set[str] = set()
        self.unreadable: Counter[str] = Counter()  # files of which nothing is known, by folder

    def noted(self, source: Source) -> Source:
        """Say in an image that its folder had files that could not be read: slices at its ends may be missing."""
        assert source.volume is not None
        count = sum(self.unreadable[folder] for folder in source.volume.folders)
        if not count:
            return source
        warning = f"{count} files beside this image could not be read; if they were slices of its ends, it is too short"
        return replace(source, warnings=(*source.warnings, warning))

    def tell(self, shown: str, is_zip: bool, redact: Redaction, report: ImportReport) -> None:
        for reasons, say in ((self.refused, report.refuse), (self.passed_over, report.pass_over)):
            for reason, names in reasons.items():
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                say(f"{shown}{':' if is_zip else '/'}{redact(names[0])}{more}", reason)


def _scan(files: Folder | Zip, problems: _Problems) -> list[Frame]:
    frames: list[Frame] = []
    with files.opened() as read:
        described = _manifests(files, read)
        for name in files.names:
            if is_manifest(name):
                continue
            try:
                frames += read_frames(read(name), name, described.get(PurePosixPath(name).name))
            except NotAnImage as error:
                claims = name.lower().endswith(DICOM_SUFFIXES) and str(error) == "not a DICOM file"
                problems.unreadable[folder_of(name)] += claims
                (problems.refused if claims else problems.passed_over).setdefault(str(error), []).append(name)
            except Damaged:
                raise
            except Unusable as error:
                problems.broken_series.add(error.series)
                problems.refused.setdefault(f"{error}; its whole series is refused", []).append(name)
            except MrsegError as error:
                problems.unreadable[folder_of(name)] += 1
                problems.refused.setdefault(str(error), []).append(name)
            except OSError as error:
                problems.unreadable[folder_of(name)] += 1
                problems.refused.setdefault(f"cannot be read: {error.strerror}", []).append(name)
    present = {PurePosixPath(name).name for name in files.names}
    missing = [name for name in described if name not in present]
    if missing:
        problems.passed_over.setdefault("the manifest names it and it is not there", []).extend(missing)
    return frames


def _manifests(files: Folder | Zip, read: Read) -> dict[str, str]:
    described: dict[str, str] = {}
    for name in filter(is_manifest, files.names):
        try:
            described |= read_manifest(read(name))
        except (MrsegError, OSError):
            continue  # it is of use only where the images themselves say too little
    return described


class _Stated:
    """What the importing person, a pattern or a UK Biobank zip's name says of an export."""

    def __init__(self, export: Export, options: ImportOptions) -> None:
        self.pattern = Pattern(options.pattern) if options.pattern else None
        self.participant = clean_code(options.participant) if options.participant else None
        self.export = export
        self.biobank = zip_name(export.found.path.name) if export.is_zip else None
        self.by_name = {file.relative.as_posix(): file for file in export.files}
        self.codes = {code for code in (self.participant, self.biobank.eid if self.biobank else None) if code}

    def fields(self, name: str) -> dict[str, str]:
        """Fields of the path of an image's file.

        Raises
        ------
        InvalidInput
            There is a pattern and the path does not fit it.
        """
        found: dict[str, str] = {}
        if self.biobank is not None:
            found = {"participant": self.biobank.eid, "session": self.biobank.visit}
        if self.pattern is not None:
            file = self.export.found if self.export.is_zip else self.by_name[name]
            fitted = self._fit(file)
            if fitted is None and not found:
                raise InvalidInput(f"the path does not fit the pattern {self.pattern.text}")
            found |= fitted or {}
        if self.participant is not None:
            found["participant"] = self.participant
        if "participant" in found:
            found["participant"] = clean_code(found["participant"])
            self.codes.add(found["participant"])
        return found

    def _fit(self, file: Found) -> dict[str, str] | None:
        assert self.pattern is not None
        for relative in (file.relative, *file.relative.parents):  # the series' folder fits as well as its file
            if relative.name:
                up = len(file.relative.parts) - len(relative.parts)
                path = file.path.parents[up - 1] if up else file.path
                fitted = self.pattern.match(Found(path, file.shown, relative))
                if fitted is not None:
                    return fitted
        return None


def _study(
    stacks: Sequence[Stack],
    files: Folder | Zip,
    export: Export,
    stated: _Stated,
    pseudonyms: Pseudonyms,
    redact: Redaction,
    report: ImportReport,
) -> Iterator[list[Source]]:
    groups: dict[tuple[str, ...], list[Source]] = {}
    taken, names = [], []
    for stack in stacks:
        shown = _shown(stack, export, pseudonyms, redact)
        reason = why_not(stack.frames)
        if reason is not None:
            report.refuse(shown, reason)
            continue
        taken.append(stack)
        names.append(sequence_of(stack.first))
    found = places(taken, names)
    for index, (stack, name) in enumerate(zip(taken, names, strict=True)):
        shown = _shown(stack, export, pseudonyms, redact)
        try:
            source = _source(stack, name, found.get(index, Place("")), shown, files, export, stated, pseudonyms, redact)
        except InvalidInput as error:
            report.refuse(shown, redact(str(error)))
            continue
        groups.setdefault(source.group, []).append(source)
    yield from groups.values()


def _source(
    stack: Stack,
    name: str,
    place: Place,
    shown: str,
    files: Folder | Zip,
    export: Export,
    stated: _Stated,
    pseudonyms: Pseudonyms,
    redact: Redaction,
) -> Source:
    frame, person, warnings = stack.first, stack.first.person, []
    fields = stated.fields(frame.file)
    code = fields.get("participant")
    if code is None:
        code = pseudonyms.participant(person)
        if not person.known:
            warnings.append("the files name no patient; each study counts as a participant of its own")
    session = [fields.get("session", ""), pseudonyms.token("study", frame.study, frame.reference)]
    split = stack.split.split(", ")
    # The body moves from one time point to the next: each has a draft and a correction of its own.
    session += [part for part in split if part.startswith("time point")]
    if place.repeats > 1:
        session.append(f"scan {place.repeat}")
        where = place.station or "this station"
        if place.repeat > 1:
            warnings.append(f"a repeat: scan {place.repeat} of {place.repeats} of {where}; kept in a group of its own")
    sequence = fields.get("sequence", "") or name
    apart = [part for part in split if part.startswith(("echo", "b value", "image type", "flip angle"))]
    if stack.split:
        warnings.append(f"one of several images of its series: {stack.split}")
    return Source(
        path=export.found.path,
        shown=shown,
        participant=code,
        stated=True,
        session=" ".join(part for part in session if part),
        station=fields.get("station", "") or place.station,
        sequence=" ".join([sequence, *apart]).strip(),
        warnings=tuple(warnings),
        volume=Volume(stack, files, export, redact, fields.get("session", "")),
        sex=person.sex,
        age=person.age,
    )


def _shown(stack: Stack, export: Export, pseudonyms: Pseudonyms, redact: Redaction) -> str:
    """Where an image comes from, without a name or a UID in it."""
    series = pseudonyms.token("series", stack.first.series)
    split = f", {stack.split}" if stack.split else ""
    return f"{redact(export.found.shown)} (series {stack.first.number}, {series}{split})"
