"""Read accounts and their credentials as documents."""

from __future__ import annotations

from mrseg_label.accounts import credentials, service
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.types import CredentialKind
from mrseg_label.reports.documents.accounts import AccountDetail, AccountOut, AppPasswordOut


def read_accounts(catalog: Catalog) -> list[AccountDetail]:
    """Read all accounts, each with its credentials that are in use."""
    in_use = credentials.list_credentials(catalog, in_use=True)
    return [AccountDetail.of_detail(row, in_use) for row in service.list_accounts(catalog)]


def read_account(catalog: Catalog, name: str) -> AccountOut:
    """Read an account. Raises :class:`~mrseg_label.errors.NotFound`."""
    with catalog.read() as session:
        return AccountOut.of(service.get(session, name))


def read_app_passwords(catalog: Catalog, account: str) -> list[AppPasswordOut]:
    """Read the app passwords of an account, newest first, revoked ones included."""
    found = reversed(credentials.list_credentials(catalog, account))
    return [AppPasswordOut.of(row) for row in found if row.kind is CredentialKind.APP_PASSWORD]
