"""Remember that an open case came back to its reader, who asked for a case and still had this one."""

from alembic import op
import sqlalchemy as sa


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('assignments', sa.Column('came_back', sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column('assignments', 'came_back')
    # Whoever knows no kind of job but these cannot list the others.
    known = ', '.join(f"'{kind}'" for kind in (
        'presegment', 'presegment_pending', 'renew_presegmentations', 'measure_effort', 'import_mask', 'train_round',
    ))
    op.execute(f'DELETE FROM jobs WHERE kind NOT IN ({known})')
