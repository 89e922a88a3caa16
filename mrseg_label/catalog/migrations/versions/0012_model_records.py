"""How each model version was trained, the card of its data set, and the licences of weights and images."""

from alembic import op
import sqlalchemy as sa


revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('model_versions', sa.Column('record', sa.JSON(), nullable=False, server_default='{}'))
    op.add_column('model_versions', sa.Column('card', sa.JSON(), nullable=False, server_default='{}'))
    op.add_column('model_versions', sa.Column('licence', sa.String(length=200), nullable=True))
    op.add_column('examinations', sa.Column('licence', sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column('examinations', 'licence')
    for name in ('licence', 'card', 'record'):
        op.drop_column('model_versions', name)
