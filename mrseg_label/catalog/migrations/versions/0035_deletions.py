"""Participants who were deleted on request leave two hashes; a deletion that was interrupted is finished later."""

from alembic import op
import sqlalchemy as sa

from mrseg_label.catalog.refusals import refuse_if_any


revision = '0035'
down_revision = '0034'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('deleted_participants',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('salt', sa.String(length=64), nullable=False),
    sa.Column('participant_hash', sa.String(length=64), nullable=False),
    sa.Column('code_hash', sa.String(length=64), nullable=False),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('models', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deleted_participants'))
    )
    op.create_index('ix_deleted_participants_code_hash', 'deleted_participants', ['code_hash'], unique=False)
    op.create_index('ix_deleted_participants_participant_hash', 'deleted_participants', ['participant_hash'], unique=False)
    op.create_table('unfinished_deletions',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('actor', sa.String(length=255), nullable=False),
    sa.Column('traces', sa.JSON(), nullable=False),
    sa.Column('counts', sa.JSON(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_unfinished_deletions'))
    )


def downgrade() -> None:
    refuse_if_any(
        'SELECT count(*) FROM unfinished_deletions',
        'would leave {} deletions of participants unfinished',
        'finish them with mrseg-label participants delete --apply',
    )
    op.drop_table('unfinished_deletions')
    op.drop_index('ix_deleted_participants_participant_hash', 'deleted_participants')
    op.drop_index('ix_deleted_participants_code_hash', 'deleted_participants')
    op.drop_table('deleted_participants')
