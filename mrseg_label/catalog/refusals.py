"""What a migration refuses to undo, since the older version would take what is left for something else."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from mrseg_label.errors import Conflict


def refuse_if_any(count: str, consequence: str, advice: str) -> None:
    """Refuse to go back where a query counts rows; nothing is changed then, since all steps are one transaction.

    Parameters
    ----------
    count : SQL whose result is a number of rows.
    consequence : what the older version would do; ``{}`` stands for the number.
    advice : what to do instead.

    Raises
    ------
    Conflict
        There are such rows.
    """
    if found := op.get_bind().scalar(text(count)):
        raise Conflict(f"the older version {consequence.format(found)}; {advice}")
