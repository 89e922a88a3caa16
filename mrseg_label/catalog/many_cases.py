"""Change many cases by one action: each case as a whole, in transactions short enough for others to get in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.tables import Acquisition

_AT_ONCE = 100  # cases in a transaction
AT_THE_SAME_MOMENT = "somebody else changed it at the same moment"

Change = Callable[[Session, Acquisition, datetime], str | None]


@dataclass
class CasesChanged:
    """What an action on many cases did.

    Attributes
    ----------
    changed : ids of the acquisitions that it changed.
    left : ids of the others, by the reason why each was left as it was.
    """

    changed: list[str] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)


def change_cases(catalog: Catalog, acquisition_ids: Sequence[str], change: Change) -> CasesChanged:
    """Change cases in their order, and say of each that was left as it was why.

    Parameters
    ----------
    change : changes one case, which is locked, at a moment of the database's clock; or returns why not.
    """
    done = CasesChanged()
    ids = list(dict.fromkeys(acquisition_ids))
    for start in range(0, len(ids), _AT_ONCE):
        part = CasesChanged()
        with catalog.begin() as session:
            moment = catalog.now(session)
            cases = acquisitions.lock_all(session, ids[start : start + _AT_ONCE])
            for identifier in ids[start : start + _AT_ONCE]:
                case = cases.get(identifier)
                reason = "there is no such case" if case is None else _change(session, case, moment, change)
                if reason is None:
                    part.changed.append(identifier)
                else:
                    part.left.setdefault(reason, []).append(identifier)
        done.changed += part.changed
        for reason, left in part.left.items():
            done.left.setdefault(reason, []).extend(left)
    return done


def _change(session: Session, case: Acquisition, moment: datetime, change: Change) -> str | None:
    try:
        with session.begin_nested():
            return change(session, case, moment)
    except IntegrityError:
        return AT_THE_SAME_MOMENT
