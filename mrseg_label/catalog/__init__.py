"""The catalogue: tables, migrations, unit of work and queries. All SQL of the product is here."""

from mrseg_label.catalog.database import Catalog, Session

__all__ = ["Catalog", "Session"]
