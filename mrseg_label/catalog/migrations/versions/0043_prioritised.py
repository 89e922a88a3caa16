"""Index the waiting cases of another priority than the normal one, which every next case counts by group."""

from alembic import op
import sqlalchemy as sa


revision = '0043'
down_revision = '0042'
branch_labels = None
depends_on = None

_NAME = 'ix_acquisitions_prioritised'
_WHERE = "priority <> 'normal' AND primary_examination_id IS NOT NULL AND annotated_at IS NULL AND excluded_at IS NULL"


def upgrade() -> None:
    where = sa.text(_WHERE)
    columns = ['priority', 'held_out', 'station', 'sequence']
    op.create_index(_NAME, 'acquisitions', columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(_NAME, table_name='acquisitions')
