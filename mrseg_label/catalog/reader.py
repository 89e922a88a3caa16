"""Who asks for cases, annotates and reviews: one value instead of a client's name and an account side by side."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.types import DEFAULT_CLIENT, Role
from mrseg_label.errors import Forbidden


@dataclass(frozen=True)
class Reader:
    """A reader: the signed-in account or, without sign-in, the name that the client program gives itself.

    Without sign-in that name is no identity: every Slicer calls itself ``user-xyz`` unless it is told another name.

    Attributes
    ----------
    client : the client program's own name.
    account : name of the signed-in account; None without sign-in.
    role : of the account; None without sign-in, where everything is permitted.
    """

    client: str = DEFAULT_CLIENT
    account: str | None = None
    role: Role | None = None

    @classmethod
    def signed_in(cls, account: str, role: Role | None = None) -> Reader:
        """The reader that an account is, whatever its client program calls itself."""
        return cls(account, account, role)

    @property
    def name(self) -> str:
        """The name that stands in histories as author, reviewer or actor."""
        return self.account or self.client

    @property
    def sees_every_case(self) -> bool:
        """Whether every case can be opened by its id, and not only those assigned to this reader."""
        return self.role is not Role.RADIOLOGIST

    @property
    def may_review(self) -> bool:
        """Whether another reader's annotation can be assigned to this one for review."""
        return self.role is not Role.RADIOLOGIST

    @property
    def sees_annotations_of(self) -> str | None:
        """The one author whose annotations this reader may see; None for those of all."""
        return self.name if self.role is Role.RADIOLOGIST else None

    def check_may_review(self) -> None:
        """Raise :class:`Forbidden` where a radiologist asks for a review."""
        if not self.may_review:
            raise Forbidden("only reviewers and admins review annotations")

    def check_own(self, author: str) -> None:
        """Raise :class:`Forbidden` where a radiologist asks for what another reader submitted."""
        if self.sees_annotations_of not in (None, author):
            raise Forbidden("this annotation is another reader's; only reviewers and admins see those of others")

    def check_admin(self, what: str) -> None:
        """Raise :class:`Forbidden` unless this is an admin, a program, or sign-in is off."""
        if self.role not in (None, Role.ADMIN, Role.SERVICE):
            raise Forbidden(f"{self.name} has the role {self.role}; {what} is for admins and programs")
