"""A pre-segmentation keeps how its mask was put together, and what is doubted about it."""

from alembic import op
import sqlalchemy as sa


revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('presegmentations', sa.Column('details', sa.JSON(), server_default='{}', nullable=False))


def downgrade() -> None:
    op.drop_column('presegmentations', 'details')
