"""The reader of a request: one value instead of a client's name and an account side by side."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.types import DEFAULT_CLIENT, Role
from mrseg_label.errors import Forbidden

MAX_CLIENT_LENGTH = 200  # of the name that a client program sends


@dataclass(frozen=True)
class Reader:
    """Whoever gets cases, annotates and reviews: an account or, without sign-in, a name that the client sends.

    Without sign-in the name identifies nobody: every Slicer sends ``user-xyz`` unless it is configured otherwise.

    Attributes
    ----------
    client : the name that the client program sends.
    account : name of the signed-in account; None without sign-in.
    role : role of the account; None without sign-in, where everything is permitted.
    """

    client: str = DEFAULT_CLIENT
    account: str | None = None
    role: Role | None = None

    @classmethod
    def signed_in(cls, account: str, role: Role | None = None) -> Reader:
        """Make the reader of an account, whatever name its client program sends."""
        return cls(account, account, role)

    @property
    def name(self) -> str:
        """The name that is stored as author, reviewer or actor."""
        return self.account or self.client

    @property
    def is_known(self) -> bool:
        """Whether requests under this name come from one reader: an account, or a name that Slicer was told."""
        return self.account is not None or self.client != DEFAULT_CLIENT

    @property
    def sees_every_case(self) -> bool:
        """Whether this reader may open every case by its id, and not only assigned ones."""
        return self.role is not Role.RADIOLOGIST

    @property
    def may_review(self) -> bool:
        """Whether this reader may review the annotations of others."""
        return self.role in (None, Role.REVIEWER, Role.ADMIN)

    @property
    def sees_annotations_of(self) -> str | None:
        """The one author whose annotations this reader may see; None for those of all."""
        return self.name if self.role is Role.RADIOLOGIST else None

    @property
    def sees_assignments_of(self) -> str | None:
        """The one reader whose assignments this reader may see; None for those of all."""
        return self.name if self.role is Role.RADIOLOGIST else None

    def check_may_review(self) -> None:
        """Raise :class:`Forbidden` unless this reader may review."""
        if not self.may_review:
            raise Forbidden("only reviewers and admins may review annotations")

    def check_may_see_annotations_of(self, author: str) -> None:
        """Raise :class:`Forbidden` unless this reader may see the annotations of an author."""
        if self.sees_annotations_of not in (None, author):
            raise Forbidden("another reader submitted this annotation; only reviewers and admins may see it")

    def check_may_see_assignments_of(self, name: str) -> None:
        """Raise :class:`Forbidden` unless this reader may see the assignments of a reader."""
        if self.sees_assignments_of not in (None, name):
            raise Forbidden("this case is or was assigned to another reader; only reviewers and admins may see that")

    def check_admin_or_program(self, what: str) -> None:
        """Raise :class:`Forbidden` unless this is an admin or a program, or sign-in is off.

        Parameters
        ----------
        what : what only admins and programs may use, for the message.
        """
        if self.role not in (None, Role.ADMIN, Role.SERVICE):
            raise Forbidden(f"{self.name} has the role {self.role}; only admins and programs may use {what}")
