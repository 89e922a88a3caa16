"""Drafts are suspicious too, all are ranked, and what is measured of a mask file is kept."""

from alembic import op
import sqlalchemy as sa


revision = '0032'
down_revision = '0031'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'mask_shapes',
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('structures', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_mask_shapes')),
    )
    op.create_table(
        'suspicious_masks',
        sa.Column('mask_id', sa.String(length=255), nullable=False),
        sa.Column('mask', sa.String(length=16), nullable=False),
        sa.Column('kinds', sa.String(length=255), nullable=False),
        sa.Column('reasons', sa.JSON(), nullable=False),
        sa.Column('score', sa.Float(), nullable=False),
        sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('mask_id', name=op.f('pk_suspicious_masks')),
    )
    op.create_index('ix_suspicious_masks_rank', 'suspicious_masks', ['score', 'mask_id'])
    # The next check ranks them; until then none is before another.
    op.execute(
        'INSERT INTO suspicious_masks (mask_id, mask, kinds, reasons, score, found_at) '
        "SELECT annotation_id, 'annotation', kinds, reasons, 0.5, found_at FROM suspicions"
    )
    op.drop_table('suspicions')


def downgrade() -> None:
    op.create_table(
        'suspicions',
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('kinds', sa.String(length=255), nullable=False),
        sa.Column('reasons', sa.JSON(), nullable=False),
        sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_suspicions_annotation_id_annotations')),
        sa.PrimaryKeyConstraint('annotation_id', name=op.f('pk_suspicions')),
    )
    op.execute(
        'INSERT INTO suspicions (annotation_id, kinds, reasons, found_at) SELECT mask_id, kinds, reasons, found_at'
        " FROM suspicious_masks WHERE mask = 'annotation' AND mask_id IN (SELECT id FROM annotations)"
    )
    op.drop_index('ix_suspicious_masks_rank', 'suspicious_masks')
    op.drop_table('suspicious_masks')
    op.drop_table('mask_shapes')
