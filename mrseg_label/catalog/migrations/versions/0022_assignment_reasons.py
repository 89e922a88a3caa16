"""An assignment keeps why its reader got this case."""

from alembic import op
import sqlalchemy as sa


revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('assignments', sa.Column('reason', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('assignments', 'reason')
