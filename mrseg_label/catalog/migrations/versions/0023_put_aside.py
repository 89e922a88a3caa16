"""A job that failed keeps whether it was put aside."""

from alembic import op
import sqlalchemy as sa


revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('put_aside', sa.Boolean(), server_default=sa.false(), nullable=False))
    jobs = sa.table('jobs', sa.column('put_aside', sa.Boolean), sa.column('deaths', sa.Integer), sa.column('state', sa.String))
    died = sa.and_(jobs.c.state == 'failed', jobs.c.deaths >= 3)
    op.execute(jobs.update().where(died).values(put_aside=sa.true()))


def downgrade() -> None:
    op.drop_column('jobs', 'put_aside')
