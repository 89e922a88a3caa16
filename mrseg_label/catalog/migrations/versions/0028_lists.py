"""Lists of a million examinations: what a case says is repeated at its images, with indices; priorities; who assigned a case.

Triggers keep the copies. A later migration that makes ``acquisitions`` or ``examinations`` anew (Alembic's batch mode on SQLite) has to
create them again.
"""

from alembic import op
import sqlalchemy as sa


revision = '0028'
down_revision = '0027'
branch_labels = None
depends_on = None

_INCLUDED = 'excluded_at IS NULL'
_PARTIAL = (
    ('ix_acquisitions_coverage', ['station', 'sequence', 'annotated_at'], _INCLUDED),
    ('ix_acquisitions_people', ['participant_id', 'annotated_at'], _INCLUDED),
    ('ix_acquisitions_annotated', ['annotated_at'], f'annotated_at IS NOT NULL AND {_INCLUDED}'),
    ('ix_acquisitions_excluded', ['excluded_at'], 'excluded_at IS NOT NULL'),
    ('ix_acquisitions_without_image', ['id'], 'primary_examination_id IS NULL'),
    ('ix_acquisitions_priority', ['priority'], "priority <> 'normal'"),
)
_STATE = """CASE WHEN {0}.excluded_at IS NOT NULL THEN 'excluded' WHEN {0}.annotated_at IS NOT NULL THEN 'annotated'
    WHEN {0}.primary_examination_id IS NULL THEN 'no_image' ELSE 'waiting' END"""
_WATCHED = 'station, excluded_at, annotated_at, primary_examination_id'
_COPY_INTO_NEW = f"""UPDATE examinations SET (case_station, case_state) =
    (SELECT station, {_STATE.format('acquisitions')} FROM acquisitions WHERE id = NEW.acquisition_id) WHERE id = NEW.id"""
_COPY_INTO_ALL = f"""UPDATE examinations SET case_station = NEW.station, case_state = {_STATE.format('NEW')}
    WHERE acquisition_id = NEW.id"""
_SQLITE = (
    f'CREATE TRIGGER tr_examinations_added AFTER INSERT ON examinations BEGIN {_COPY_INTO_NEW}; END',
    f'CREATE TRIGGER tr_examinations_moved AFTER UPDATE OF acquisition_id ON examinations BEGIN {_COPY_INTO_NEW}; END',
    f'CREATE TRIGGER tr_acquisitions_changed AFTER UPDATE OF {_WATCHED} ON acquisitions BEGIN {_COPY_INTO_ALL}; END',
)
# FOR SHARE: an image that is added while another transaction changes its acquisition waits for that, and copies what is then true.
_POSTGRESQL = (
    f"""CREATE FUNCTION mrseg_copy_case() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        SELECT station, {_STATE.format('acquisitions')} INTO NEW.case_station, NEW.case_state
            FROM acquisitions WHERE id = NEW.acquisition_id FOR SHARE;
        RETURN NEW; END $$""",
    f"""CREATE FUNCTION mrseg_copy_case_to_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {_COPY_INTO_ALL}; RETURN NULL; END $$""",
    """CREATE TRIGGER tr_examinations_added BEFORE INSERT OR UPDATE OF acquisition_id ON examinations
        FOR EACH ROW EXECUTE FUNCTION mrseg_copy_case()""",
    f"""CREATE TRIGGER tr_acquisitions_changed AFTER UPDATE OF {_WATCHED} ON acquisitions
        FOR EACH ROW EXECUTE FUNCTION mrseg_copy_case_to_all()""",
)


def upgrade() -> None:
    op.add_column('acquisitions', sa.Column('priority', sa.String(length=32), server_default='normal', nullable=False))
    op.add_column('assignments', sa.Column('assigned_by', sa.String(length=255), nullable=True))
    op.add_column('examinations', sa.Column('case_station', sa.String(length=255), server_default='', nullable=False))
    op.add_column('examinations', sa.Column('case_state', sa.String(length=32), server_default='waiting', nullable=False))
    op.execute(
        f"""UPDATE examinations SET (case_station, case_state) = (SELECT station, {_STATE.format('acquisitions')} FROM acquisitions
            WHERE acquisitions.id = examinations.acquisition_id)"""
    )
    for statement in _POSTGRESQL if op.get_bind().dialect.name == 'postgresql' else _SQLITE:
        op.execute(statement)
    for name, columns, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, 'acquisitions', columns, sqlite_where=where, postgresql_where=where)
    op.create_index('ix_examinations_by_state', 'examinations', ['case_state', 'created_at', 'id'])
    op.create_index('ix_examinations_listed', 'examinations', ['case_station', 'sequence', 'case_state', 'created_at', 'id'])
    op.create_index('ix_annotations_of_author', 'annotations', ['author', 'created_at', 'id'])


def downgrade() -> None:
    op.drop_index('ix_annotations_of_author', 'annotations')
    op.drop_index('ix_examinations_listed', 'examinations')
    op.drop_index('ix_examinations_by_state', 'examinations')
    for name, _, _ in _PARTIAL:
        op.drop_index(name, 'acquisitions')
    if op.get_bind().dialect.name == 'postgresql':
        op.execute('DROP FUNCTION mrseg_copy_case, mrseg_copy_case_to_all CASCADE')  # with their triggers
    else:
        for name in ('tr_examinations_added', 'tr_examinations_moved', 'tr_acquisitions_changed'):
            op.execute(f'DROP TRIGGER {name}')
    op.drop_column('examinations', 'case_state')
    op.drop_column('examinations', 'case_station')
    op.drop_column('assignments', 'assigned_by')
    op.drop_column('acquisitions', 'priority')
