"""Cohorts, and those that serve evaluation alone."""

from alembic import op
import sqlalchemy as sa


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
    raise NotImplementedError('restore a backup that the version before made')
