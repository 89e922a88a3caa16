"""The number of each participant in the order in which they joined the training, which decides their fold."""

from alembic import op
import sqlalchemy as sa


revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('participants', sa.Column('fold_position', sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column('participants', 'fold_position')
