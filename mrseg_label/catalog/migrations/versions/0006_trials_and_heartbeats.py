"""Model versions are tried before they are promoted; a server writes down when it was last alive."""

from alembic import op
import sqlalchemy as sa


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('model_versions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('tried_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('problem', sa.Text(), nullable=True))
    # A round has predicted with its model, and a version that was promoted has made drafts.
    op.execute(
        'UPDATE model_versions SET tried_at = created_at'
        ' WHERE round_number IS NOT NULL OR promoted_at IS NOT NULL OR path IS NULL'
    )
    op.create_table('heartbeats',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_heartbeats'))
    )


def downgrade() -> None:
    op.drop_table('heartbeats')
    op.drop_column('model_versions', 'problem')
    op.drop_column('model_versions', 'tried_at')
