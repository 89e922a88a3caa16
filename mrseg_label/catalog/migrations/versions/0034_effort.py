"""What shows that a reader works on a case; of each structure the edits and how much of its surface changed; surfaces of evaluations.

A job of low priority measures both of the annotations that there are, as far as their masks are in place.
"""

from alembic import op
import sqlalchemy as sa

from mrseg_label.clock import now
from mrseg_label.ids import new_id


revision = '0034'
down_revision = '0033'
branch_labels = None
depends_on = None

_JOBS = sa.table(
    'jobs',
    *(sa.column(name, sa.String) for name in ('id', 'kind', 'queue', 'key', 'state')),
    *(sa.column(name, sa.JSON) for name in ('payload', 'progress', 'result')),
    *(sa.column(name, sa.Integer) for name in ('priority', 'attempt', 'max_attempts')),
    sa.column('cancel_requested', sa.Boolean),
    sa.column('created_at', sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.create_table(
        'work_signs',
        sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
        sa.Column('reader', sa.String(length=255), nullable=False),
        sa.Column('acquisition_id', sa.String(length=255), nullable=False),
        sa.Column('sign', sa.String(length=32), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_work_signs_acquisition_id_acquisitions')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_work_signs')),
    )
    op.create_index('ix_work_signs_of_reader', 'work_signs', ['reader', 'at'])
    op.create_index(op.f('ix_work_signs_acquisition_id'), 'work_signs', ['acquisition_id'])
    op.add_column('annotation_structures', sa.Column('edits', sa.Integer(), nullable=True))
    op.add_column('annotation_structures', sa.Column('surface_changed', sa.Float(), nullable=True))
    op.add_column('evaluations', sa.Column('surfaces', sa.JSON(), nullable=True))
    if op.get_bind().scalar(sa.text('SELECT count(*) FROM annotations')):
        kind = 'measure_missing_effort'
        job = {
            'id': new_id('jb'), 'kind': kind, 'queue': 'light', 'key': kind, 'payload': {}, 'state': 'queued', 'progress': {},
            'result': {}, 'priority': -1_000_000, 'attempt': 0, 'max_attempts': 3, 'cancel_requested': False, 'created_at': now(),
        }
        op.bulk_insert(_JOBS, [job])


def downgrade() -> None:
    op.drop_column('evaluations', 'surfaces')
    op.drop_column('annotation_structures', 'surface_changed')
    op.drop_column('annotation_structures', 'edits')
    op.drop_index(op.f('ix_work_signs_acquisition_id'), 'work_signs')
    op.drop_index('ix_work_signs_of_reader', 'work_signs')
    op.drop_table('work_signs')
