"""What the identity provider calls the person of an account, whose own name may be derived from it."""

from alembic import op
import sqlalchemy as sa


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('accounts', sa.Column('provider_name', sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column('accounts', 'provider_name')
