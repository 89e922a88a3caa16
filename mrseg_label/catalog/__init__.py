"""The catalogue: tables, migrations, one unit of work, queries. The only room with SQL."""

from mrseg_label.catalog.database import Catalog, Session

__all__ = ["Catalog", "Session"]
