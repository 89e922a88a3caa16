"""Rounds that pretrain on drafts which nobody corrected, and these drafts."""

from alembic import op
import sqlalchemy as sa


revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('rounds', sa.Column('pretrain', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table('round_drafts',
    sa.Column('round_number', sa.Integer(), nullable=False),
    sa.Column('presegmentation_id', sa.String(length=255), nullable=False),
    sa.Column('acquisition_id', sa.String(length=255), nullable=False),
    sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_round_drafts_acquisition_id_acquisitions')),
    sa.ForeignKeyConstraint(['presegmentation_id'], ['presegmentations.id'], name=op.f('fk_round_drafts_presegmentation_id_presegmentations')),
    sa.ForeignKeyConstraint(['round_number'], ['rounds.number'], name=op.f('fk_round_drafts_round_number_rounds')),
    sa.PrimaryKeyConstraint('round_number', 'presegmentation_id', name=op.f('pk_round_drafts'))
    )
    op.create_index(op.f('ix_round_drafts_acquisition_id'), 'round_drafts', ['acquisition_id'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_round_drafts_acquisition_id'), 'round_drafts')
    op.drop_table('round_drafts')
    op.drop_column('rounds', 'pretrain')
