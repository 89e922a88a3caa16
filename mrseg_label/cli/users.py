"""``users``: accounts with their roles, passwords and keys; ``audit``: the audit trail."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    opened,
    print_json,
    print_line,
    print_page,
    print_table,
)
from mrseg_label.cli.completion import ACCOUNTS

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.", autocompletion=ACCOUNTS)]
LabelOption = Annotated[
    str, typer.Option(help="Where it is used, such as 'Slicer, room 3' or 'nightly download of models'.")
]
_SCOPES = ("images", "masks")
_ROLES = ("radiologist", "reviewer", "admin", "service")
RoleOption = Annotated[str, typer.Option(help=f"One of {', '.join(_ROLES)}.")]


def add(name: NameArgument, role: RoleOption, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Create an account; asks for the password twice (without a terminal: two lines of standard input)."""
    from mrseg_label.accounts import service
    from mrseg_label.catalog.types import Role
    from mrseg_label.reports.documents.accounts import AccountOut

    chosen = Role(_role(role))
    with opened(workspace) as work:
        password = None if chosen is Role.SERVICE else _new_password()
        made = AccountOut.of(service.add(work.catalog, name, chosen, password=password, actor=LOCAL))
    if as_json:
        print_json(made)
        return
    print_line(f"Created the account {made.name} with the role {made.role}.")
    if chosen is Role.SERVICE:
        print_line(f"Create an API key for it with: mrseg-label users key {made.name}")


def list_users(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """List the accounts, and the API keys and app passwords in use."""
    from mrseg_label.reports.accounts import read_accounts

    with opened(workspace) as work:
        found = read_accounts(work.catalog)
    if as_json:
        print_page(found)
        return
    if not found:
        print_line("There are no accounts yet. Create the first with: mrseg-label users add NAME --role admin")
        return
    rows = [(item.name, item.role, item.signs_in_by, item.provider_name, item.created, item.disabled) for item in found]
    print_table(("name", "role", "signs in with", "name there", "created", "disabled"), rows)
    shown = [
        (key.id, key.account, key.kind, key.label, ", ".join(key.scopes), key.last_used)
        for item in found
        for key in item.credentials
    ]
    if shown:
        print_table(("credential", "account", "kind", "label", "may fetch", "last used"), shown)


def disable(name: NameArgument, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Disable an account; its tokens, tickets, API keys and app passwords end at once."""
    from mrseg_label.accounts import service

    with opened(workspace) as work:
        service.disable(work.catalog, name, actor=LOCAL)
        _print_account(
            work, name, as_json, f"Disabled the account {name}. Enable it again with: mrseg-label users enable {name}"
        )


def enable(name: NameArgument, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Enable a disabled account."""
    from mrseg_label.accounts import service

    with opened(workspace) as work:
        service.enable(work.catalog, name, actor=LOCAL)
        _print_account(work, name, as_json, f"Enabled the account {name}.")


def password(name: NameArgument, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Change the password of an account, asked for as in `users add`; its tokens, tickets and app passwords end."""
    from mrseg_label.accounts import service

    with opened(workspace) as work:
        service.set_password(work.catalog, name, _new_password(), actor=LOCAL)
        _print_account(work, name, as_json, f"Changed the password of {name}.")


def role(name: NameArgument, role: RoleOption, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Change the role of an account, with immediate effect."""
    from mrseg_label.accounts import service
    from mrseg_label.catalog.types import Role

    with opened(workspace) as work:
        service.set_role(work.catalog, name, Role(_role(role)), actor=LOCAL)
        _print_account(work, name, as_json, f"{name} now has the role {role}.")


def sign_out(name: NameArgument, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Sign an account out everywhere; it can sign in again."""
    from mrseg_label.accounts import service

    with opened(workspace) as work:
        service.sign_out(work.catalog, name, actor=LOCAL)
        _print_account(work, name, as_json, f"Signed {name} out everywhere.")


def key(
    name: NameArgument,
    label: LabelOption = "API key",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What the key may fetch as well: {' or '.join(_SCOPES)}; give it twice for both.",
            show_default="neither",
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Create an API key for a service account; it is shown once."""
    for unknown in {*(scope or ())} - {*_SCOPES}:
        raise typer.BadParameter(f"no scope {unknown!r} exists; choose from {', '.join(_SCOPES)}", param_hint="--scope")
    _create_credential("api_key", name, label, workspace, as_json, scope or ())


def app_password(
    name: NameArgument, label: LabelOption = "Slicer", workspace: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Create an app password for Slicer's sign-in form; it is shown once."""
    _create_credential("app_password", name, label, workspace, as_json)


def review_address(
    name: NameArgument,
    label: LabelOption = "MONAILabel Reviewer in 3D Slicer",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Create an address for a reviewer's MONAILabel Reviewer module, valid for a working day; it is shown once."""
    _create_credential("review_address", name, label, workspace, as_json)


def revoke(
    credential: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="Id of the credential, from `users list`.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key, an app password or a reviewer's address, and the sign-ins that used it."""
    from mrseg_label.accounts import credentials

    with opened(workspace) as work:
        credentials.revoke(work.catalog, credential, actor=LOCAL)
    if as_json:
        print_json({"revoked": credential})
    else:
        print_line(f"Revoked {credential}.")


def audit(
    workspace: WorkspaceOption = HERE,
    actor: Annotated[str | None, typer.Option(help="Only events of this account.", autocompletion=ACCOUNTS)] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as sign-in.failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Number of events.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show the audit trail, newest first."""
    from mrseg_label.reports.audit import read_audit

    with opened(workspace) as work:
        found = read_audit(work.catalog, limit, actor=actor, action=action).items
    if as_json:
        print_page(found)
        return
    shown = [(item.at, item.actor, item.action, item.subject, item.detail) for item in found]
    print_table(("time", "actor", "action", "subject", "detail"), shown)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    group = typer.Typer(no_args_is_help=True, help="Manage accounts, roles, passwords and API keys.")
    group.command("add")(add)
    group.command("list")(list_users)
    group.command("disable")(disable)
    group.command("enable")(enable)
    group.command("password")(password)
    group.command("role")(role)
    group.command("sign-out")(sign_out)
    group.command("key")(key)
    group.command("app-password")(app_password)
    group.command("review-address")(review_address)
    group.command("revoke")(revoke)
    app.add_typer(group, name="users")
    app.command("audit")(audit)


def _create_credential(
    kind: str, name: str, label: str, workspace: Any, as_json: bool, scopes: Sequence[str] = ()
) -> None:
    from mrseg_label.accounts import credentials
    from mrseg_label.catalog.types import CredentialKind, Scope
    from mrseg_label.http.paths import REVIEW_ADDRESSES
    from mrseg_label.reports.documents.accounts import CredentialOut

    with opened(workspace) as work:
        chosen = {Scope(scope) for scope in scopes}
        is_address = kind == CredentialKind.REVIEW_ADDRESS
        hours = work.settings.token_hours if is_address else None
        made, secret = credentials.make(
            work.catalog, name, CredentialKind(kind), label, actor=LOCAL, scopes=chosen, hours=hours
        )
    if as_json:
        print_json(CredentialOut.of(made).model_dump(mode="json") | {"secret": secret})
        return
    if is_address:
        typer.echo("Copy it now, with the server's address before it; it is not shown again:", err=True)
        secret = f"{REVIEW_ADDRESSES}/{secret}/"
    else:
        typer.echo("Copy the secret now; it is not shown again:", err=True)
    print_line(secret)


def _print_account(work: OpenedWorkspace, name: str, as_json: bool, text: str) -> None:
    """Print an account as it is now, or what was done to it."""
    from mrseg_label.accounts.service import account_name
    from mrseg_label.reports.accounts import read_account

    if as_json:
        print_json(read_account(work.catalog, account_name(name)))
    else:
        print_line(text)


def _new_password() -> str:
    if sys.stdin.isatty():
        first, second = getpass.getpass("new password: "), getpass.getpass("repeat it: ")
    else:
        first, second = (sys.stdin.readline().rstrip("\r\n") for _ in range(2))
    if first != second:
        raise typer.BadParameter("the passwords do not match; enter the same password twice", param_hint="password")
    return first


def _role(text: str) -> str:
    if text not in _ROLES:
        raise typer.BadParameter(f"no role {text!r} exists; choose from {', '.join(_ROLES)}", param_hint="--role")
    return text
