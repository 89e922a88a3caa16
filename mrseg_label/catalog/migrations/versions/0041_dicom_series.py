"""Examinations know what stands for the UID of their DICOM series, so that a series of an archive is found again."""

from alembic import op
import sqlalchemy as sa


revision = '0041'
down_revision = '0040'
branch_labels = None
depends_on = None

_COLUMNS = ('dicom_series', 'dicom_study')


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column('examinations', sa.Column(column, sa.String(40), nullable=True))
        where = sa.text(f'{column} IS NOT NULL')
        op.create_index(f'ix_examinations_{column}', 'examinations', [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_index(f'ix_examinations_{column}', 'examinations')
        op.drop_column('examinations', column)
