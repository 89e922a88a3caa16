"""A round keeps how it trains."""

from alembic import op
import sqlalchemy as sa


revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('rounds', sa.Column('training', sa.JSON(), server_default='{}', nullable=False))


def downgrade() -> None:
    op.drop_column('rounds', 'training')
