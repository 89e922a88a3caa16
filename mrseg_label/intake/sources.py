"""All that an import was given, as groups of sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mrseg_label.intake.assign import Source
from mrseg_label.intake.discover import Findings, Found
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.workspace import PSEUDONYM_KEY, Workspace


def all_sources(
    findings: Findings,
    groups: Sequence[Sequence[Source]],
    workspace: Workspace,
    options: ImportOptions,
    report: ImportReport,
) -> Iterator[Sequence[Source]]:
    """Groups of files, then of DICOM exports, each looked into only when its turn comes."""
    yield from groups
    if not findings.dicom and not findings.zips:
        return
    from mrseg_label.intake import bids, dicom
    from mrseg_label.intake.exports import Export
    from mrseg_label.intake.pseudonyms import Pseudonyms

    # A dry run stores nothing, not even a key: without one the pseudonyms that it shows hold for it alone.
    present = (workspace.root / PSEUDONYM_KEY).exists()
    key = os.urandom(32) if options.dry_run and not present else workspace.pseudonym_key()
    pseudonyms = Pseudonyms(key)
    described: dict[Path, bool] = {}

    def original(found: Found) -> bool:  # of a BIDS data set the images themselves come in, not what they were made of
        return not (bids.passed_over(found) and bids.in_data_set(found.path.parent, described))

    for folder in findings.dicom:
        files = tuple(filter(original, folder.files))
        if files:
            export = Export(folder.found, files, tuple(folder.beside))
            yield from dicom.groups_of(export, options, pseudonyms, report)
    for found in filter(original, findings.zips):
        yield from dicom.groups_of(Export(found), options, pseudonyms, report)
