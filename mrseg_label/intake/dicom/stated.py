"""Names that are stated for the images of an export: by options, by a pattern, by the name of a UK Biobank zip."""

from __future__ import annotations

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.dicom import chaos
from mrseg_label.intake.dicom.exports import Export
from mrseg_label.intake.dicom.ukbiobank import parse_zip_name
from mrseg_label.intake.files import nako
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.files.pattern import Pattern
from mrseg_label.intake.names import clean_code
from mrseg_label.intake.options import ImportOptions


class StatedNames:
    """The stated names of an export's images.

    Attributes
    ----------
    codes : participant codes that were stated so far; they may appear in reports.
    """

    def __init__(self, export: Export, options: ImportOptions) -> None:
        self._pattern = Pattern(options.pattern) if options.pattern else None
        self._participant = clean_code(options.participant) if options.participant else None
        self._export = export
        self._zip_name = parse_zip_name(export.found.path.name) if export.is_zip else None
        self._by_name = {file.relative.as_posix(): file for file in export.files}
        self.codes = {code for code in (self._participant, self._zip_name.eid if self._zip_name else None) if code}

    def fields_of(self, name: str) -> dict[str, str]:
        """Return the stated fields (participant, session, station, sequence) of the image of a file.

        Raises
        ------
        InvalidInput
            The path does not match the pattern.
        """
        fields: dict[str, str] = {}
        if self._zip_name is not None:
            fields = {"participant": self._zip_name.eid, "session": self._zip_name.visit}
        path = self._export.found.path if self._export.is_zip else self._by_name[name].path
        fields = fields or nako.parse_path(path) or chaos.parse_path(path)
        if self._pattern is not None:
            file = self._export.found if self._export.is_zip else self._by_name[name]
            matched = _match_path_or_folder(self._pattern, file)
            if matched is None and not fields:
                raise InvalidInput(f"the path does not match the pattern {self._pattern.text}")
            fields |= matched or {}
        if self._participant is not None:
            fields["participant"] = self._participant
        if "participant" in fields:
            fields["participant"] = clean_code(fields["participant"])
            self.codes.add(fields["participant"])
        return fields


def _match_path_or_folder(pattern: Pattern, file: FoundFile) -> dict[str, str] | None:
    """Match the path of a file, or that of a folder above it: a pattern may lead to the folder of a series."""
    for relative in (file.relative, *file.relative.parents):
        if relative.name:
            up = len(file.relative.parts) - len(relative.parts)
            path = file.path.parents[up - 1] if up else file.path
            matched = pattern.match(FoundFile(path, file.shown, relative))
            if matched is not None:
                return matched
    return None
