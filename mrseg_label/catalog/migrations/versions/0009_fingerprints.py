"""Recognise a scan in every order of axes. Images that are stored already get their fingerprint later, not here."""

from alembic import op
import sqlalchemy as sa


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('examinations', sa.Column('fingerprint', sa.String(length=64), nullable=True))
    op.create_index('ix_examinations_fingerprint', 'examinations', ['fingerprint'])


def downgrade() -> None:
    op.drop_index('ix_examinations_fingerprint', 'examinations')
    op.drop_column('examinations', 'fingerprint')
