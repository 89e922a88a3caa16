"""What each promoted model makes of the annotations so far, and rejected annotations that another reader corrects."""

from alembic import op
import sqlalchemy as sa


revision = '0039'
down_revision = '0038'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'model_audits',
        sa.Column('model_version', sa.String(length=64), nullable=False),
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('structures', sa.JSON(), nullable=False),
        sa.Column('problem', sa.Text(), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_model_audits_annotation_id_annotations')),
        sa.ForeignKeyConstraint(['model_version'], ['model_versions.version'], name=op.f('fk_model_audits_model_version_model_versions')),
        sa.PrimaryKeyConstraint('model_version', 'annotation_id', name=op.f('pk_model_audits')),
    )
    op.add_column('reviews', sa.Column('recipient', sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column('reviews', 'recipient')
    op.drop_table('model_audits')
