"""Cases are counted by group as they change, and found in the order of assignment by an index, whatever their number.

Triggers keep the counts, and at each case the copy of ``held_out``, ``new_for_round`` and ``has_draft``. A later migration that makes one of these tables
anew (Alembic's batch mode on SQLite) has to create its triggers again.
"""

from alembic import op
import sqlalchemy as sa


revision = '0033'
down_revision = '0032'
branch_labels = None
depends_on = None

_INCLUDED = 'excluded_at IS NULL'
_WAITING = f'annotated_at IS NULL AND {_INCLUDED}'
_PARTIAL = (
    ('ix_acquisitions_imported', 'acquisitions', ['priority', 'held_out', 'created_at', 'id'], _WAITING),
    ('ix_acquisitions_shuffled', 'acquisitions', ['priority', 'held_out', 'shuffle', 'id'], _WAITING),
    ('ix_acquisitions_of_group', 'acquisitions', ['priority', 'held_out', 'station', 'sequence', 'shuffle', 'id'], _WAITING),
    ('ix_acquisitions_annotated', 'acquisitions', ['participant_id'], f'annotated_at IS NOT NULL AND {_INCLUDED}'),
    ('ix_participants_undecided', 'participants', ['evaluation_only', 'id'], 'held_out IS NULL'),
    ('ix_participants_excluded', 'participants', ['id'], 'excluded_at IS NOT NULL'),
    ('ix_assignments_open', 'assignments', ['created_at', 'id', 'expires_at'], 'ended_at IS NULL'),
)
_FLAGGED = (
    ('ix_acquisitions_new', ['held_out'], 'new_for_round', f'annotated_at IS NOT NULL AND {_INCLUDED}'),
    ('ix_acquisitions_drafted', ['shuffle', 'id'], 'has_draft', _WAITING),
)
_WHOLE = (
    ('ix_assignments_newest', 'assignments', ['created_at', 'id']),
    ('ix_assignments_of_account', 'assignments', ['account', 'outcome', 'acquisition_id']),
    ('ix_jobs_of_key', 'jobs', ['kind', 'key', 'state']),
    ('ix_jobs_state', 'jobs', ['state', 'created_at', 'id']),
    ('ix_jobs_newest', 'jobs', ['created_at', 'id']),
)
_STATE = """CASE WHEN {0}excluded_at IS NOT NULL THEN 'excluded' WHEN {0}annotated_at IS NOT NULL THEN 'annotated'
    WHEN {0}primary_examination_id IS NULL THEN 'no_image' ELSE 'waiting' END"""
_HELD_OUT = 'CASE WHEN {0}held_out IS NULL THEN -1 WHEN {0}held_out THEN 1 ELSE 0 END'
_NEW = """(NOT EXISTS (SELECT 1 FROM round_cases WHERE round_cases.acquisition_id = {0})
    AND EXISTS (SELECT 1 FROM annotations WHERE annotations.acquisition_id = {0} AND annotations.state = 'accepted'
        AND (annotations.author <> 'import' OR annotations.client <> 'import')))"""
_DRAFTED = 'EXISTS (SELECT 1 FROM presegmentations WHERE presegmentations.acquisition_id = {0})'
_COUNTED = 'station, sequence, held_out, excluded_at, annotated_at, primary_examination_id'


def _count(row: str, slot: str, change: str) -> str:
    """A statement that counts a row of acquisitions, or no longer counts it."""
    state, held_out = _STATE.format(f'{row}.'), _HELD_OUT.format(f'{row}.')
    # SQLite takes ON CONFLICT after a SELECT for a join unless the SELECT has a WHERE.
    return f"""INSERT INTO case_counts (slot, station, sequence, held_out, state, cases)
        SELECT {slot}, {row}.station, {row}.sequence, {held_out}, {state}, {change} WHERE true
        ON CONFLICT (slot, station, sequence, held_out, state) DO UPDATE SET cases = case_counts.cases + excluded.cases"""


def _differs(comparison: str) -> str:
    """Whether an update changes what is counted."""
    parts = [f'OLD.{name} {comparison} NEW.{name}' for name in ('station', 'sequence', 'held_out')]
    parts.append(f"{_STATE.format('OLD.')} <> {_STATE.format('NEW.')}")
    return ' OR '.join(parts)


_COPY = 'UPDATE acquisitions SET held_out = (SELECT held_out FROM participants WHERE id = NEW.participant_id) WHERE id = NEW.id'
_JUDGE = f"UPDATE acquisitions SET new_for_round = {_NEW.format('acquisitions.id')} WHERE id = {{0}}.acquisition_id"
_SQLITE = (
    f"CREATE TRIGGER tr_acquisitions_counted AFTER INSERT ON acquisitions BEGIN {_count('NEW', '0', '1')}; {_COPY}; END",
    f"""CREATE TRIGGER tr_acquisitions_recounted AFTER UPDATE OF {_COUNTED} ON acquisitions WHEN {_differs('IS NOT')}
        BEGIN {_count('OLD', '0', '-1')}; {_count('NEW', '0', '1')}; END""",
    f"CREATE TRIGGER tr_acquisitions_removed AFTER DELETE ON acquisitions BEGIN {_count('OLD', '0', '-1')}; END",
    f'CREATE TRIGGER tr_acquisitions_given AFTER UPDATE OF participant_id ON acquisitions BEGIN {_COPY}; END',
    """CREATE TRIGGER tr_participants_decided AFTER UPDATE OF held_out ON participants WHEN OLD.held_out IS NOT NEW.held_out
        BEGIN UPDATE acquisitions SET held_out = NEW.held_out WHERE participant_id = NEW.id; END""",
    f"CREATE TRIGGER tr_annotations_added AFTER INSERT ON annotations WHEN NEW.state = 'accepted' BEGIN {_JUDGE.format('NEW')}; END",
    f"""CREATE TRIGGER tr_annotations_changed AFTER UPDATE OF state, author, client, acquisition_id ON annotations
        BEGIN {_JUDGE.format('OLD')}; {_JUDGE.format('NEW')}; END""",
    f'CREATE TRIGGER tr_annotations_removed AFTER DELETE ON annotations BEGIN {_JUDGE.format("OLD")}; END',
    """CREATE TRIGGER tr_round_cases_added AFTER INSERT ON round_cases
        BEGIN UPDATE acquisitions SET new_for_round = false WHERE id = NEW.acquisition_id AND new_for_round; END""",
    f'CREATE TRIGGER tr_round_cases_removed AFTER DELETE ON round_cases BEGIN {_JUDGE.format("OLD")}; END',
    """CREATE TRIGGER tr_presegmentations_added AFTER INSERT ON presegmentations
        BEGIN UPDATE acquisitions SET has_draft = true WHERE id = NEW.acquisition_id AND NOT has_draft; END""",
    f"""CREATE TRIGGER tr_presegmentations_removed AFTER DELETE ON presegmentations
        BEGIN UPDATE acquisitions SET has_draft = {_DRAFTED.format('acquisitions.id')} WHERE id = OLD.acquisition_id; END""",
)
# A slot for each connection: two transactions never change the same row, so that they neither wait for each other nor lock each other out.
_SLOT = 'pg_backend_pid()'
# The row of the case is locked by a statement of its own. The next one then sees what the transaction had committed that it waited for.
_POSTGRESQL = (
    f"""CREATE FUNCTION mrseg_count_case() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP <> 'INSERT' THEN {_count('OLD', _SLOT, '-1')}; END IF;
        IF TG_OP <> 'DELETE' THEN {_count('NEW', _SLOT, '1')}; END IF;
        RETURN NULL; END $$""",
    """CREATE FUNCTION mrseg_copy_held_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        SELECT held_out INTO NEW.held_out FROM participants WHERE id = NEW.participant_id FOR SHARE;
        RETURN NEW; END $$""",
    """CREATE FUNCTION mrseg_copy_held_out_to_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE acquisitions SET held_out = NEW.held_out WHERE participant_id = NEW.id; RETURN NULL; END $$""",
    f"""CREATE FUNCTION mrseg_judge_case(identifier varchar) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM 1 FROM acquisitions WHERE id = identifier FOR NO KEY UPDATE;
        UPDATE acquisitions SET new_for_round = {_NEW.format('identifier')}
            WHERE id = identifier AND new_for_round <> {_NEW.format('identifier')}; END $$""",
    """CREATE FUNCTION mrseg_judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP <> 'INSERT' THEN PERFORM mrseg_judge_case(OLD.acquisition_id); END IF;
        IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD.acquisition_id <> NEW.acquisition_id) THEN
            PERFORM mrseg_judge_case(NEW.acquisition_id); END IF;
        RETURN NULL; END $$""",
    f"""CREATE FUNCTION mrseg_note_draft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            UPDATE acquisitions SET has_draft = true WHERE id = NEW.acquisition_id AND NOT has_draft; RETURN NULL; END IF;
        PERFORM 1 FROM acquisitions WHERE id = OLD.acquisition_id FOR NO KEY UPDATE;
        UPDATE acquisitions SET has_draft = {_DRAFTED.format('OLD.acquisition_id')} WHERE id = OLD.acquisition_id;
        RETURN NULL; END $$""",
    'CREATE TRIGGER tr_acquisitions_counted AFTER INSERT OR DELETE ON acquisitions FOR EACH ROW EXECUTE FUNCTION mrseg_count_case()',
    f"""CREATE TRIGGER tr_acquisitions_recounted AFTER UPDATE ON acquisitions FOR EACH ROW
        WHEN ({_differs('IS DISTINCT FROM')}) EXECUTE FUNCTION mrseg_count_case()""",
    """CREATE TRIGGER tr_acquisitions_given BEFORE INSERT OR UPDATE OF participant_id ON acquisitions
        FOR EACH ROW EXECUTE FUNCTION mrseg_copy_held_out()""",
    """CREATE TRIGGER tr_participants_decided AFTER UPDATE OF held_out ON participants FOR EACH ROW
        WHEN (OLD.held_out IS DISTINCT FROM NEW.held_out) EXECUTE FUNCTION mrseg_copy_held_out_to_all()""",
    """CREATE TRIGGER tr_annotations_added AFTER INSERT ON annotations FOR EACH ROW
        WHEN (NEW.state = 'accepted') EXECUTE FUNCTION mrseg_judge()""",
    """CREATE TRIGGER tr_annotations_changed AFTER DELETE OR UPDATE OF state, author, client, acquisition_id ON annotations
        FOR EACH ROW EXECUTE FUNCTION mrseg_judge()""",
    """CREATE TRIGGER tr_round_cases_changed AFTER INSERT OR DELETE ON round_cases
        FOR EACH ROW EXECUTE FUNCTION mrseg_judge()""",
    """CREATE TRIGGER tr_presegmentations_noted AFTER INSERT OR DELETE ON presegmentations
        FOR EACH ROW EXECUTE FUNCTION mrseg_note_draft()""",
)


def upgrade() -> None:
    op.create_table(
        'case_counts',
        sa.Column('slot', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('station', sa.String(length=255), nullable=False),
        sa.Column('sequence', sa.String(length=255), nullable=False),
        sa.Column('held_out', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('state', sa.String(length=32), nullable=False),
        sa.Column('cases', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('slot', 'station', 'sequence', 'held_out', 'state', name=op.f('pk_case_counts')),
    )
    op.add_column('acquisitions', sa.Column('held_out', sa.Boolean(), nullable=True))
    op.add_column('acquisitions', sa.Column('new_for_round', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute('UPDATE acquisitions SET held_out = (SELECT held_out FROM participants WHERE participants.id = acquisitions.participant_id)')
    op.add_column('acquisitions', sa.Column('has_draft', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(f"UPDATE acquisitions SET has_draft = {_DRAFTED.format('acquisitions.id')}")
    op.execute(f"UPDATE acquisitions SET new_for_round = {_NEW.format('acquisitions.id')}")
    op.execute(
        f"""INSERT INTO case_counts (slot, station, sequence, held_out, state, cases)
            SELECT 0, station, sequence, {_HELD_OUT.format('')}, {_STATE.format('')}, count(*) FROM acquisitions GROUP BY 2, 3, 4, 5"""
    )
    op.drop_index('ix_acquisitions_waiting', 'acquisitions')
    op.drop_index('ix_acquisitions_annotated', 'acquisitions')
    op.drop_index('ix_acquisitions_people', 'acquisitions')
    op.drop_index('ix_acquisitions_coverage', 'acquisitions')
    for name, table, columns, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.drop_index('ix_assignments_expires_at', 'assignments')
    for name, table, columns in _WHOLE:
        op.create_index(name, table, columns)
    for name, columns, flag, condition in _FLAGGED:
        op.create_index(
            name,
            'acquisitions',
            columns,
            sqlite_where=sa.text(f'{flag} = 1 AND {condition}'),
            postgresql_where=sa.text(f'{flag} AND {condition}'),
        )
    for statement in _POSTGRESQL if op.get_bind().dialect.name == 'postgresql' else _SQLITE:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == 'postgresql':
        functions = ('count_case', 'copy_held_out', 'copy_held_out_to_all', 'judge', 'judge_case', 'note_draft')
        op.execute(f"DROP FUNCTION {', '.join(f'mrseg_{name}' for name in functions)} CASCADE")  # with their triggers
    else:
        for statement in _SQLITE:
            op.execute(f'DROP TRIGGER {statement.split()[2]}')
    for name, _, _, _ in _FLAGGED:
        op.drop_index(name, 'acquisitions')
    for name, table, _ in _WHOLE:
        op.drop_index(name, table)
    for name, table, _, _ in _PARTIAL:
        op.drop_index(name, table)
    op.create_index(op.f('ix_assignments_expires_at'), 'assignments', ['expires_at'])
    for name, columns, condition in (
        ('ix_acquisitions_coverage', ['station', 'sequence', 'annotated_at'], _INCLUDED),
        ('ix_acquisitions_people', ['participant_id', 'annotated_at'], _INCLUDED),
        ('ix_acquisitions_annotated', ['annotated_at'], f'annotated_at IS NOT NULL AND {_INCLUDED}'),
        ('ix_acquisitions_waiting', ['sequence', 'shuffle'], _WAITING),
    ):
        where = sa.text(condition)
        op.create_index(name, 'acquisitions', columns, sqlite_where=where, postgresql_where=where)
    for name in ('has_draft', 'new_for_round', 'held_out'):
        op.drop_column('acquisitions', name)
    op.drop_table('case_counts')
