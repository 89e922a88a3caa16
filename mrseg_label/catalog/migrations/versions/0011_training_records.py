"""What a training reports is in the database: the progress and curve of each fold, and the log."""

from alembic import op
import sqlalchemy as sa


revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('round_folds',
    sa.Column('round_number', sa.Integer(), nullable=False),
    sa.Column('fold', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('state', sa.String(length=32), nullable=False),
    sa.Column('job_id', sa.String(length=255), nullable=True),
    sa.Column('progress', sa.JSON(), nullable=False),
    sa.Column('curve', sa.JSON(), nullable=False),
    sa.Column('result', sa.JSON(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['round_number'], ['rounds.number'], name=op.f('fk_round_folds_round_number_rounds')),
    sa.PrimaryKeyConstraint('round_number', 'fold', name=op.f('pk_round_folds'))
    )
    op.create_table('round_logs',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('round_number', sa.Integer(), nullable=False),
    sa.Column('fold', sa.Integer(), nullable=True),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('file_end', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['round_number'], ['rounds.number'], name=op.f('fk_round_logs_round_number_rounds')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_round_logs'))
    )
    op.create_index('ix_round_logs_round', 'round_logs', ['round_number', 'fold', 'id'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_round_logs_round', 'round_logs')
    op.drop_table('round_logs')
    op.drop_table('round_folds')
