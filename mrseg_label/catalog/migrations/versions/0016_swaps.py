"""Whether fat and water of an image are exchanged. Images that an import warned of await a decision."""

from alembic import op
import sqlalchemy as sa


revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

_WARNING = 'fat and water look swapped'


def upgrade() -> None:
    op.add_column('examinations', sa.Column('swap', sa.String(length=32), nullable=True))
    op.create_index(op.f('ix_examinations_swap'), 'examinations', ['swap'])
    connection = op.get_bind()
    table = sa.table('examinations', sa.column('id'), sa.column('acquisition_id'), sa.column('sequence'), sa.column('warnings', sa.JSON), sa.column('swap'))
    rows = connection.execute(sa.select(table.c.acquisition_id, table.c.warnings)).all()
    suspected = {acquisition for acquisition, warnings in rows if any(_WARNING in str(warning) for warning in warnings or [])}
    for acquisition in sorted(suspected):  # both images: the warning of a later import is on one of them alone
        query = table.c.acquisition_id == acquisition, table.c.sequence.in_(('fat', 'water'))
        connection.execute(table.update().where(*query).values(swap='suspected'))


def downgrade() -> None:
    op.drop_index(op.f('ix_examinations_swap'), 'examinations')
    op.drop_column('examinations', 'swap')
