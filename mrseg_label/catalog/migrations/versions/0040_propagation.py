"""Which examinations carry the mask of their acquisition; masks can be kept to the image that they were drawn on."""

from alembic import op
import sqlalchemy as sa

from mrseg_label.catalog.refusals import refuse_if_any


revision = '0040'
down_revision = '0039'
branch_labels = None
depends_on = None

# Of each acquisition its mask, the newest accepted annotation that is no second reading; until now every image shared it, apart from
# those in which fat and water are exchanged, or may be.
_LABEL = """UPDATE examinations SET labelled = (
    SELECT CASE WHEN a.examination_id = examinations.id THEN 'drawn' ELSE 'propagated' END FROM annotations a
    WHERE a.acquisition_id = examinations.acquisition_id AND a.state = 'accepted' AND a.is_final
    ORDER BY a.number DESC LIMIT 1)
    WHERE (swap IS NULL OR swap = 'none')
    AND acquisition_id IN (SELECT acquisition_id FROM annotations WHERE state = 'accepted')"""


def upgrade() -> None:
    op.add_column('acquisitions', sa.Column('propagates', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('examinations', sa.Column('misregistration', sa.String(length=32), nullable=True))
    op.add_column('examinations', sa.Column('labelled', sa.String(length=32), nullable=True))
    op.execute(_LABEL)
    for name, columns, condition in (
        ('ix_examinations_labelled', ['case_state', 'labelled'], 'labelled IS NOT NULL'),
        ('ix_examinations_misregistration', ['misregistration'], 'misregistration IS NOT NULL'),
    ):
        where = sa.text(condition)
        op.create_index(name, 'examinations', columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    refuse_if_any(
        'SELECT count(*) FROM acquisitions WHERE NOT propagates AND annotated_at IS NOT NULL',
        'would give the masks of {} cases to channels that they must not be given to',
        'let these masks be shared again, exclude the cases, or restore a backup that the older version made',
    )
    for name in ('ix_examinations_misregistration', 'ix_examinations_labelled'):
        op.drop_index(name, 'examinations')
    for name in ('labelled', 'misregistration'):
        op.drop_column('examinations', name)
    op.drop_column('acquisitions', 'propagates')
