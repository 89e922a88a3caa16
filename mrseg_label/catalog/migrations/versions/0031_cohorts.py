"""Cohorts, and those that serve evaluation alone."""

from alembic import op
import sqlalchemy as sa

from mrseg_label.catalog.refusals import refuse_if_any


revision = '0031'
down_revision = '0030'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('participants', sa.Column('cohort', sa.String(length=100), nullable=True))
    for table in ('participants', 'acquisitions'):
        op.add_column(table, sa.Column('evaluation_only', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index('ix_participants_cohort', 'participants', ['cohort'])


def downgrade() -> None:
    refuse_if_any(
        'SELECT count(*) FROM participants WHERE evaluation_only',
        'would train on the cases of {} participants that serve evaluation alone',
        'delete them (mrseg-label participants delete), or restore a backup that the older version made',
    )
    op.drop_index('ix_participants_cohort', 'participants')
    for table in ('acquisitions', 'participants'):
        op.drop_column(table, 'evaluation_only')
    op.drop_column('participants', 'cohort')
