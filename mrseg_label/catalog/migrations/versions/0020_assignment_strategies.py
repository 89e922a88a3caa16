"""An assignment keeps the strategy by which its case was chosen."""

from alembic import op
import sqlalchemy as sa


revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('assignments', sa.Column('strategy', sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column('assignments', 'strategy')
