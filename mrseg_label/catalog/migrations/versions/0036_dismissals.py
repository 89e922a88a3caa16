"""Suspicious masks that somebody looked at and found in order."""

from alembic import op
import sqlalchemy as sa


revision = '0036'
down_revision = '0035'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'dismissals',
        sa.Column('mask_id', sa.String(length=255), nullable=False),
        sa.Column('reasons', sa.JSON(), nullable=False),
        sa.Column('comment', sa.Text(), nullable=False),
        sa.Column('dismissed_by', sa.String(length=255), nullable=False),
        sa.Column('dismissed_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('mask_id', name=op.f('pk_dismissals')),
    )


def downgrade() -> None:
    op.drop_table('dismissals')
