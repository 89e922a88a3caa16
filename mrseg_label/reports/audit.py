"""Read the audit trail as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import acquisitions, audit, presegmentations
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.reports.cases import examination_row
from mrseg_label.reports.documents.audit import AuditOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.downloads import SUFFIX
from mrseg_label.reports.paging import decode_number, page_of

_MASKS = 100  # of each kind, whose events are read

# Actions under the names that version 0.1.0 gave them. Its events keep theirs: a trail is never rewritten.
_NAMES_BEFORE = {"assigned": "handed out", "returned": "released", "requested": "asked for"}
_NAMES_NOW = {before: now for now, before in _NAMES_BEFORE.items()}


def read_audit(
    catalog: Catalog, limit: int, cursor: str | None = None, actor: str | None = None, action: str | None = None
) -> Page[AuditOut]:
    """Read a page of audit events, newest first.

    Parameters
    ----------
    cursor : ``next`` of the page before.
    actor : only what this account, or the reader of this name, did.
    action : only this action; one that was renamed is found under either name.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    actions = None if action is None else _names_of(action)
    with catalog.read() as session:
        rows = audit.page(session, limit + 1, decode_number(cursor), actor, actions)
    return page_of([AuditOut.of(row) for row in rows], limit, lambda event: (event.number,))


def read_audit_of_examination(catalog: Catalog, examination_id: str, limit: int) -> list[AuditOut]:
    """Read what was done to an examination, its case and its masks, newest first.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with catalog.read() as session:
        row = examination_row(session, examination_id)
        acquisition = row.acquisition
        masks = annotation_rows.page_of_acquisition(session, acquisition.id, _MASKS)
        drafts = presegmentations.of_acquisition(session, acquisition.id, _MASKS)
        channels = acquisitions.channels(session, acquisition.id)
        ids = [*(one.id for one in channels), *(one.id for one in masks), *(one.id for one in drafts)]
        # What was downloaded is named as its file is.
        subjects = [acquisition.id, acquisition.participant.code, *ids, *(one + SUFFIX for one in ids)]
        subjects += [f"{channel.id}.png" for channel in channels]
        return [AuditOut.of(event) for event in audit.page(session, limit, subjects=subjects)]


def _names_of(action: str) -> tuple[str, ...]:
    now = _NAMES_NOW.get(action, action)
    return (now, _NAMES_BEFORE[now]) if now in _NAMES_BEFORE else (now,)
