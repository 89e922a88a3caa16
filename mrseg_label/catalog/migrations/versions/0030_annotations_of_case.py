"""The annotations of a case in a state are found by one index: SQLite took that of the state, and read all annotations for each case."""

from alembic import op


revision = '0030'
down_revision = '0029'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_annotations_of_case', 'annotations', ['acquisition_id', 'state'])


def downgrade() -> None:
    op.drop_index('ix_annotations_of_case', 'annotations')
