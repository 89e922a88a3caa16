"""Every channel of a held-out case is evaluated; what was evaluated until now was the channel that readers open."""

from alembic import op
import sqlalchemy as sa


revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Copied, since SQLite cannot change a primary key.
    op.execute('CREATE TABLE evaluations_before AS SELECT * FROM evaluations')
    op.drop_table('evaluations')
    op.create_table('evaluations',
    sa.Column('model_version', sa.String(length=64), nullable=False),
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('examination_id', sa.String(length=255), nullable=False),
    sa.Column('mean_dsc', sa.Float(), nullable=True),
    sa.Column('dsc', sa.JSON(), nullable=False),
    sa.Column('apart', sa.JSON(), server_default='{}', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_evaluations_annotation_id_annotations')),
    sa.ForeignKeyConstraint(['examination_id'], ['examinations.id'], name=op.f('fk_evaluations_examination_id_examinations')),
    sa.PrimaryKeyConstraint('model_version', 'annotation_id', 'examination_id', name=op.f('pk_evaluations'))
    )
    op.execute(
        'INSERT INTO evaluations (model_version, annotation_id, examination_id, mean_dsc, dsc, apart, created_at)'
        ' SELECT e.model_version, e.annotation_id, COALESCE(c.primary_examination_id, a.examination_id),'
        ' e.mean_dsc, e.dsc, e.apart, e.created_at FROM evaluations_before e'
        ' JOIN annotations a ON a.id = e.annotation_id JOIN acquisitions c ON c.id = a.acquisition_id'
    )
    op.drop_table('evaluations_before')


def downgrade() -> None:
    op.execute('CREATE TABLE evaluations_before AS SELECT * FROM evaluations')
    op.drop_table('evaluations')
    op.create_table('evaluations',
    sa.Column('model_version', sa.String(length=64), nullable=False),
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('mean_dsc', sa.Float(), nullable=True),
    sa.Column('dsc', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('apart', sa.JSON(), server_default='{}', nullable=False),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_evaluations_annotation_id_annotations')),
    sa.PrimaryKeyConstraint('model_version', 'annotation_id', name=op.f('pk_evaluations'))
    )
    # The channel that the reader opened; the others can be measured again.
    op.execute(
        'INSERT INTO evaluations (model_version, annotation_id, mean_dsc, dsc, apart, created_at)'
        ' SELECT e.model_version, e.annotation_id, e.mean_dsc, e.dsc, e.apart, e.created_at FROM evaluations_before e'
        ' JOIN annotations a ON a.id = e.annotation_id JOIN acquisitions c ON c.id = a.acquisition_id'
        ' WHERE e.examination_id = COALESCE(c.primary_examination_id, a.examination_id)'
    )
    op.drop_table('evaluations_before')
