"""What an API key may fetch beside what its account may: images, masks."""

from alembic import op
import sqlalchemy as sa


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('credentials', sa.Column('scopes', sa.JSON(), nullable=False, server_default='[]'))


def downgrade() -> None:
    op.drop_column('credentials', 'scopes')  # a key without scopes may fetch less
