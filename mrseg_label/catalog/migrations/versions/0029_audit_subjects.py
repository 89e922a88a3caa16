"""What was done to one examination is found among many events of the audit trail."""

from alembic import op


revision = '0029'
down_revision = '0028'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_audit_events_subject', 'audit_events', ['subject'])


def downgrade() -> None:
    op.drop_index('ix_audit_events_subject', 'audit_events')
