"""How far pairs of masks agree, and annotations that somebody should look at."""

from alembic import op
import sqlalchemy as sa


revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'mask_agreements',
        sa.Column('first_digest', sa.String(length=64), nullable=False),
        sa.Column('second_digest', sa.String(length=64), nullable=False),
        sa.Column('structures', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('first_digest', 'second_digest', name=op.f('pk_mask_agreements')),
    )
    op.create_table(
        'suspicions',
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('kinds', sa.String(length=255), nullable=False),
        sa.Column('reasons', sa.JSON(), nullable=False),
        sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_suspicions_annotation_id_annotations')),
        sa.PrimaryKeyConstraint('annotation_id', name=op.f('pk_suspicions')),
    )


def downgrade() -> None:
    op.drop_table('suspicions')
    op.drop_table('mask_agreements')
