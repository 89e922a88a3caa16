"""Keep how much correction each source of drafts would have needed, and whose voxels a corrected structure was."""

from alembic import op
import sqlalchemy as sa


revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('annotation_structures', sa.Column('drafted_by', sa.String(length=64), nullable=True))
    op.create_table(
        'source_scores',
        sa.Column('source', sa.String(length=128), nullable=False),
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('examination_id', sa.String(length=255), nullable=False),
        sa.Column('structures', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_source_scores_annotation_id_annotations')),
        sa.ForeignKeyConstraint(['examination_id'], ['examinations.id'], name=op.f('fk_source_scores_examination_id_examinations')),
        sa.PrimaryKeyConstraint('source', 'annotation_id', name=op.f('pk_source_scores')),
    )


def downgrade() -> None:
    op.drop_table('source_scores')
    op.drop_column('annotation_structures', 'drafted_by')
