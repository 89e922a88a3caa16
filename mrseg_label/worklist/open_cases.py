"""The cases that a reader has open: they come back with the next request by a reader who has not submitted.

Slicer says nothing when it crashes or when its scene is closed. A reader who requests a case and still has one may
have lost it, so it comes back first. Whoever then asks again wants another case. So no reader loses a case to a
crash, and none is kept on a case that they would rather leave for later.

A reader is known by the account or, without sign-in, by the name that Slicer was told. Slicer's default name is
everybody's: a case of that name never comes back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Assignment, Examination
from mrseg_label.clock import iso
from mrseg_label.text import listed
from mrseg_label.worklist.assignments import Assigner

SHOWN = 3  # of the open cases in a message


def bring_back(assigner: Assigner) -> Assignment | None:
    """Return the reader's oldest open case that has not come back to them yet; None if there is none."""
    if not assigner.reader.is_known:
        return None
    for assignment, _ in rows.left_open(assigner.session, assigner.reader, assigner.moment):
        if not assignment.came_back:
            assignment.came_back = True
            reader = assigner.reader.name
            audit.record(assigner.session, reader, "fetched", assignment.acquisition_id, assignment=assignment.id)
            return assignment
    return None


def explain_none_left(session: Session, reader: Reader, moment: datetime, ends: Sequence[datetime]) -> str | None:
    """Explain why no case can be assigned, and let the reader's own open cases come back with the next requests.

    Parameters
    ----------
    ends : when cases of other readers return to the queue; the reader's own may be among them.

    Returns
    -------
    The message; None if nothing is left to annotate.
    """
    own = rows.left_open(session, reader, moment)
    if not ends and not (own and reader.is_known):
        return None
    if not own:
        return (
            f"all remaining cases are assigned to other readers until {iso(min(ends))} or until they submit them; "
            "ask again then"
        )
    cases = f"{len(own)} {'case is' if len(own) == 1 else 'cases are'} open"
    if not reader.is_known:
        return (
            f"all remaining cases are assigned until {iso(min(ends))} or until they are submitted. {cases} under the name "
            f"{reader.client!r}, which every Slicer has by default: {_names(own)}. If Slicer lost one of yours, return it "
            f"with 'mrseg-label cases return EXAMINATION --reader {reader.client}' and ask again. If you enter a "
            "Client/User-Id of your own in Slicer's settings, your open cases come back by themselves"
        )
    for assignment, _ in own:
        assignment.came_back = False
    until = iso(min(assignment.expires_at for assignment, _ in own))
    return (
        f"no other case is left for you, and {cases} for you until {until}: {_names(own)}. "
        f"Ask for the next case again to open {'it' if len(own) == 1 else 'the first of them'} again, or return a case "
        f"that you do not want with 'mrseg-label cases return EXAMINATION --reader {reader.name}'"
    )


def _names(cases: Sequence[tuple[Assignment, Examination]]) -> str:
    # By its image a reader could find out more of a gold or repeated case than he should know.
    hidden = any(one.blind is not None for one, _ in cases)
    return listed((one.id if hidden else examination.id for one, examination in cases), SHOWN)
