"""Cases that readers get without knowing that they are gold or repeated, or without a draft; qualification of readers."""

from alembic import op
import sqlalchemy as sa

from mrseg_label.catalog.refusals import refuse_if_any


revision = '0038'
down_revision = '0037'
branch_labels = None
depends_on = None

_PARTIAL = (
    ('ix_assignments_blind', ['blind', 'account'], 'blind IS NOT NULL'),
    ('ix_assignments_drawn', ['draft_withheld'], 'draft_withheld IS NOT NULL'),
)


def upgrade() -> None:
    op.add_column('assignments', sa.Column('blind', sa.String(length=32), nullable=True))
    op.add_column('assignments', sa.Column('blind_of', sa.String(length=255), nullable=True))
    op.add_column('assignments', sa.Column('draft_withheld', sa.Boolean(), nullable=True))
    for name, columns, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, 'assignments', columns, sqlite_where=where, postgresql_where=where)
    op.add_column('accounts', sa.Column('qualified_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('accounts', sa.Column('qualified_by', sa.String(length=255), nullable=True))
    op.create_table(
        'gold_cases',
        sa.Column('acquisition_id', sa.String(length=255), nullable=False),
        sa.Column('annotation_id', sa.String(length=255), nullable=False),
        sa.Column('marked_by', sa.String(length=255), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_gold_cases_acquisition_id_acquisitions')),
        sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_gold_cases_annotation_id_annotations')),
        sa.PrimaryKeyConstraint('acquisition_id', name=op.f('pk_gold_cases')),
    )


def downgrade() -> None:
    refuse_if_any(
        'SELECT count(*) FROM assignments WHERE blind IS NOT NULL AND (annotation_id IS NOT NULL OR ended_at IS NULL)',
        'would take {} blind readings of gold and repeated cases for annotations of these cases',
        'restore a backup that the older version made; what was annotated since then is lost, unless you export it first',
    )
    op.drop_table('gold_cases')
    op.drop_column('accounts', 'qualified_by')
    op.drop_column('accounts', 'qualified_at')
    for name, _, _ in _PARTIAL:
        op.drop_index(name, 'assignments')
    for name in ('draft_withheld', 'blind_of', 'blind'):
        op.drop_column('assignments', name)
