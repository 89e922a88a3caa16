"""Keep what reviewers note, save and were shown in Slicer, and until when a credential is valid."""

from alembic import op
import sqlalchemy as sa


revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('annotations', sa.Column('version', sa.Integer(), nullable=True))
    op.create_index('ix_annotations_state', 'annotations', ['state', 'created_at'])
    op.create_index('ix_reviews_created_at', 'reviews', ['created_at'])
    op.add_column('credentials', sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        'remarks',
        sa.Column('id', sa.String(length=255), nullable=False),
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('reviewer', sa.String(length=255), nullable=False),
        sa.Column('status', sa.String(length=100), nullable=False),
        sa.Column('level', sa.String(length=100), nullable=False),
        sa.Column('comment', sa.Text(), nullable=False),
        sa.Column('edited_at', sa.BigInteger(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_remarks_annotation_id_annotations')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_remarks')),
    )
    op.create_index('ix_remarks_annotation_id', 'remarks', ['annotation_id'])
    op.create_table(
        'shown_labels',
        sa.Column('reviewer', sa.String(length=255), nullable=False),
        sa.Column('acquisition_id', sa.String(length=255), nullable=False),
        sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_shown_labels_acquisition_id_acquisitions')),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_shown_labels_annotation_id_annotations')),
        sa.PrimaryKeyConstraint('reviewer', 'acquisition_id', 'version', name=op.f('pk_shown_labels')),
    )


def downgrade() -> None:
    op.drop_table('shown_labels')
    op.drop_index('ix_remarks_annotation_id', 'remarks')
    op.drop_table('remarks')
    # A version that knows no end of a credential would let it in for ever.
    op.execute("DELETE FROM credentials WHERE kind = 'review_address' OR expires_at IS NOT NULL")
    op.drop_column('credentials', 'expires_at')
    op.drop_index('ix_reviews_created_at', 'reviews')
    op.drop_index('ix_annotations_state', 'annotations')
    op.drop_column('annotations', 'version')
