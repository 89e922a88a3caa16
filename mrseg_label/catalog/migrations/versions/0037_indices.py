"""Assignments of an account, annotations by model version and mixed structures are found by an index."""

from alembic import op
import sqlalchemy as sa


revision = '0037'
down_revision = '0036'
branch_labels = None
depends_on = None

_PARTIAL = (
    ('ix_assignments_of_account', 'assignments', ['account', 'outcome', 'acquisition_id'], 'account IS NOT NULL'),
    ('ix_annotation_structures_drafted_by', 'annotation_structures', ['drafted_by'], 'drafted_by IS NOT NULL'),
)


def upgrade() -> None:
    op.drop_index('ix_assignments_of_account', 'assignments')
    for name, table, columns, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.create_index('ix_annotations_of_model', 'annotations', ['model_version'])


def downgrade() -> None:
    op.drop_index('ix_annotations_of_model', 'annotations')
    for name, table, _, _ in _PARTIAL:
        op.drop_index(name, table)
    op.create_index('ix_assignments_of_account', 'assignments', ['account', 'outcome', 'acquisition_id'])
