"""Name image files: participant, session, station and sequence, from a pattern, BIDS entities or a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.files import bids
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.files.matching import ParticipantTable
from mrseg_label.intake.files.pattern import Pattern
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.names import check_name, clean_code, codes_from_path, strip_suffix
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.sequences import canonical_sequence, sequence_in_name


def name_images(
    files: Sequence[FoundFile],
    options: ImportOptions,
    table: ParticipantTable,
    report: ImportReport,
    known: Mapping[Path, Mapping[str, str]] | None = None,
) -> list[list[NamedImage]]:
    """Name files and group them by participant, session and station.

    Files of which the name cannot be used are refused in the report.

    Parameters
    ----------
    table : the table of participants; empty where there is none.
    known : fields of files that the layout of their data set names (participant, sequence, data_set).

    Raises
    ------
    InvalidInput
        The pattern or the participant cannot be used.
    """
    pattern = Pattern(options.pattern) if options.pattern else None
    participant = clean_code(options.participant) if options.participant else None
    own_codes = _distinct_codes(files)
    groups: dict[tuple[str, ...], list[NamedImage]] = {}
    bids_folders: dict[Path, bool] = {}
    derived: dict[Path, list[FoundFile]] = {}  # by the folder below the imported one
    for found in files:
        in_bids = pattern is None and bids.in_data_set(found.path.parent, bids_folders)
        if in_bids and bids.is_derived(found):
            derived.setdefault(found.path.parents[len(found.relative.parts) - 2], []).append(found)
            continue
        try:
            if in_bids:
                image = _name_by_fields(found, bids.parse_entities(found), participant)
            elif pattern is not None:
                fields = pattern.match(found)
                if fields is None:
                    raise InvalidInput(f"the path does not match the pattern {pattern.text}")
                image = _name_by_fields(found, fields, participant)
            elif known and found.path in known:
                image = _name_by_layout(found, known[found.path], participant, table)
            else:
                image = _name_by_table(found, participant, table, own_codes[found.path])
        except InvalidInput as error:
            report.refuse(found.shown, str(error))
            continue
        groups.setdefault(image.group_key, []).append(image)
    for left_out in derived.values():
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        report.pass_over(f"{left_out[0].shown}{more}", "derived data of a BIDS data set, which are no raw images")
    return list(groups.values())


def _name_by_fields(found: FoundFile, fields: Mapping[str, str], participant: str | None) -> NamedImage:
    sequence = fields.get("sequence")
    return NamedImage(
        path=found.path,
        shown=found.shown,
        origin=found.origin,
        participant=participant or clean_code(fields["participant"]),
        stated=True,
        session=check_name(fields.get("session", "")),
        station=check_name(fields.get("station", "")),
        sequence=check_name(
            canonical_sequence(sequence) if sequence else sequence_in_name(strip_suffix(found.path.name))
        ),
        warnings=found.encoding_warning,
    )


def _name_by_layout(
    found: FoundFile, fields: Mapping[str, str], participant: str | None, table: ParticipantTable
) -> NamedImage:
    """Name an image of a data set with numbers of its own, of which the table of participants may know better ones."""
    code = participant or (table.listed_code(found) if table.rows else None)
    named = _name_by_fields(found, fields, code)
    return named if code else replace(named, data_set=fields["data_set"])


def _name_by_table(found: FoundFile, participant: str | None, table: ParticipantTable, own_code: str) -> NamedImage:
    warnings = found.encoding_warning
    code = participant
    if code is None and table.rows:
        code = table.listed_code(found)
        if code is None:
            warnings += ("the path names no participant of the table; the file is a participant of its own",)
    if not code and not own_code:
        raise InvalidInput(
            "no participant code can be made of this path: it is too long, has control characters, or equals another "
            "apart from its encoding; rename the file, or give --participant or --pattern"
        )
    return NamedImage(
        path=found.path,
        shown=found.shown,
        origin=found.origin,
        participant=code or clean_code(own_code),
        stated=code is not None,
        sequence=sequence_in_name(strip_suffix(found.path.name)),
        warnings=warnings,
    )


def _distinct_codes(files: Sequence[FoundFile]) -> dict[Path, str]:
    """Derive a code from the path of each file: the path below the imported folder, or longer to be unique.

    The code is empty where no code tells the file from another.
    """
    choices = {found.path: codes_from_path(found.path, strip_suffix(found.relative.as_posix())) for found in files}
    codes = {path: next(choice) for path, choice in choices.items()}
    while True:
        counts = Counter(codes.values())
        shared = [path for path, code in codes.items() if code and counts[code] > 1]
        if not shared:
            return codes
        for path in shared:
            try:
                codes[path] = next(choices[path], "")
            except InvalidInput:
                codes[path] = ""
