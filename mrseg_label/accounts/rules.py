"""What a rule of access is; the tables of rules stand with the routes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from starlette.routing import compile_path

from mrseg_label.catalog.types import Role

EVERYBODY = frozenset(Role)
READERS = frozenset({Role.RADIOLOGIST, Role.REVIEWER, Role.ADMIN})


@dataclass(frozen=True)
class Rule:
    """A route and who may use it.

    Attributes
    ----------
    path : as the route has it, such as ``/models/{version}``.
    roles : None for everybody, strangers included.
    ticket : whether the ticket of a case is enough: Slicer downloads images without saying who asks.
    upload : whether a body of up to MAX_UPLOAD_MB is taken.
    note : what holds beside the roles.
    sign_in_page : where a browser is led that is not signed in; empty where nothing but a 401 is of use.
    """

    method: str
    path: str
    roles: frozenset[Role] | None
    ticket: bool = False
    upload: bool = False
    note: str = ""
    sign_in_page: str = ""
    pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])
