"""One word for one concept: leases become assignments, revisions annotations; jobs are named after their work."""

from alembic import op
import sqlalchemy as sa


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

JOB_KINDS = {
    'draft': 'presegment',
    'imported': 'presegment_pending',
    'promoted': 'renew_presegmentations',
    'submitted': 'measure_effort',
    'masks': 'import_mask',
    'round': 'train_round',
}


def upgrade() -> None:
    # Copied rather than renamed: SQLite cannot rename indexes and constraints, and a rename would keep the old names.
    op.create_table('assignments',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('ticket', sa.String(length=64), nullable=False),
    sa.Column('acquisition_id', sa.String(length=255), nullable=False),
    sa.Column('client', sa.String(length=255), nullable=False),
    sa.Column('account', sa.String(length=255), nullable=True),
    sa.Column('second_reading', sa.Boolean(), nullable=False),
    sa.Column('presegmentation_id', sa.String(length=255), nullable=True),
    sa.Column('annotation_id', sa.String(length=255), nullable=True),
    sa.Column('requested', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.String(32), nullable=True),
    sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_assignments_acquisition_id_acquisitions')),
    sa.ForeignKeyConstraint(['presegmentation_id'], ['presegmentations.id'], name=op.f('fk_assignments_presegmentation_id_presegmentations')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_assignments')),
    sa.UniqueConstraint('ticket', name=op.f('uq_assignments_ticket'))
    )
    op.execute(
        'INSERT INTO assignments (id, ticket, acquisition_id, client, account, second_reading, presegmentation_id,'
        ' annotation_id, requested, created_at, expires_at, ended_at, outcome)'
        ' SELECT id, ticket, acquisition_id, client, "user", second_read, presegmentation_id, revision_id, asked_for,'
        " created_at, expires_at, ended_at, CASE WHEN ended = 'released' THEN 'returned' ELSE ended END FROM leases"
    )
    op.create_table('annotations',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('acquisition_id', sa.String(length=255), nullable=False),
    sa.Column('examination_id', sa.String(length=255), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('author', sa.String(length=255), nullable=False),
    sa.Column('client', sa.String(length=255), nullable=False),
    sa.Column('path', sa.String(length=1024), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('upload_path', sa.String(length=1024), nullable=False),
    sa.Column('upload_digest', sa.String(length=64), nullable=False),
    sa.Column('presegmentation_id', sa.String(length=255), nullable=True),
    sa.Column('model_version', sa.String(length=64), nullable=True),
    sa.Column('assignment_id', sa.String(length=255), nullable=True),
    sa.Column('seconds', sa.Float(), nullable=True),
    sa.Column('is_final', sa.Boolean(), nullable=False),
    sa.Column('report', sa.JSON(), nullable=False),
    sa.Column('effort', sa.JSON(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_annotations_acquisition_id_acquisitions')),
    sa.ForeignKeyConstraint(['examination_id'], ['examinations.id'], name=op.f('fk_annotations_examination_id_examinations')),
    sa.ForeignKeyConstraint(['assignment_id'], ['assignments.id'], name=op.f('fk_annotations_assignment_id_assignments')),
    sa.ForeignKeyConstraint(['model_version'], ['model_versions.version'], name=op.f('fk_annotations_model_version_model_versions')),
    sa.ForeignKeyConstraint(['presegmentation_id'], ['presegmentations.id'], name=op.f('fk_annotations_presegmentation_id_presegmentations')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_annotations')),
    sa.UniqueConstraint('acquisition_id', 'number', name=op.f('uq_annotations_acquisition_id_number'))
    )
    same = ('id, acquisition_id, examination_id, number, state, author, client, path, digest, upload_path, upload_digest,'
            ' presegmentation_id, model_version, seconds, is_final, report, effort, created_at')
    op.execute(f'INSERT INTO annotations ({same}, assignment_id) SELECT {same}, lease_id FROM revisions')
    op.create_table('annotation_structures',
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('structure', sa.String(length=64), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('voxels', sa.Integer(), nullable=False),
    sa.Column('edited_voxels', sa.Integer(), nullable=True),
    sa.Column('dsc', sa.Float(), nullable=True),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_annotation_structures_annotation_id_annotations')),
    sa.PrimaryKeyConstraint('annotation_id', 'structure', name=op.f('pk_annotation_structures'))
    )
    op.execute(
        'INSERT INTO annotation_structures (annotation_id, structure, state, voxels, edited_voxels, dsc)'
        ' SELECT revision_id, structure, state, voxels, edited_voxels, dsc FROM revision_structures'
    )
    for table in ('reviews', 'evaluations', 'round_cases'):
        op.execute(f'CREATE TABLE {table}_before AS SELECT * FROM {table}')
        op.drop_table(table)
    for table in ('revision_structures', 'revisions', 'leases'):
        op.drop_table(table)
    op.create_table('reviews',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('reviewer', sa.String(length=255), nullable=False),
    sa.Column('verdict', sa.String(32), nullable=False),
    sa.Column('comment', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_reviews_annotation_id_annotations')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_reviews'))
    )
    op.execute(
        'INSERT INTO reviews (id, annotation_id, reviewer, verdict, comment, created_at)'
        ' SELECT id, revision_id, reviewer, verdict, comment, created_at FROM reviews_before'
    )
    op.create_table('evaluations',
    sa.Column('model_version', sa.String(length=64), nullable=False),
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('mean_dsc', sa.Float(), nullable=True),
    sa.Column('dsc', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_evaluations_annotation_id_annotations')),
    sa.PrimaryKeyConstraint('model_version', 'annotation_id', name=op.f('pk_evaluations'))
    )
    op.execute(
        'INSERT INTO evaluations (model_version, annotation_id, mean_dsc, dsc, created_at)'
        ' SELECT model_version, revision_id, mean_dsc, dsc, created_at FROM evaluations_before'
    )
    op.create_table('round_cases',
    sa.Column('round_number', sa.Integer(), nullable=False),
    sa.Column('annotation_id', sa.String(length=255), nullable=False),
    sa.Column('acquisition_id', sa.String(length=255), nullable=False),
    sa.Column('role', sa.String(32), nullable=False),
    sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_round_cases_acquisition_id_acquisitions')),
    sa.ForeignKeyConstraint(['annotation_id'], ['annotations.id'], name=op.f('fk_round_cases_annotation_id_annotations')),
    sa.ForeignKeyConstraint(['round_number'], ['rounds.number'], name=op.f('fk_round_cases_round_number_rounds')),
    sa.PrimaryKeyConstraint('round_number', 'annotation_id', name=op.f('pk_round_cases'))
    )
    op.execute(
        'INSERT INTO round_cases (round_number, annotation_id, acquisition_id, role)'
        ' SELECT round_number, revision_id, acquisition_id, role FROM round_cases_before'
    )
    for table in ('reviews', 'evaluations', 'round_cases'):
        op.drop_table(f'{table}_before')
    with op.batch_alter_table('assignments', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_assignments_acquisition_id'), ['acquisition_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_assignments_expires_at'), ['expires_at'], unique=False)
        batch_op.create_index('uq_assignments_open', ['acquisition_id'], unique=True, sqlite_where=sa.text('ended_at IS NULL AND second_reading = 0'), postgresql_where=sa.text('ended_at IS NULL AND NOT second_reading'))
    with op.batch_alter_table('reviews', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_reviews_annotation_id'), ['annotation_id'], unique=False)
    with op.batch_alter_table('round_cases', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_round_cases_acquisition_id'), ['acquisition_id'], unique=False)
    _rename_jobs()


def _rename_jobs() -> None:
    connection = op.get_bind()
    jobs = sa.table('jobs', sa.column('id', sa.String), sa.column('kind', sa.String), sa.column('key', sa.String), sa.column('payload', sa.JSON))
    for old, new in JOB_KINDS.items():
        connection.execute(jobs.update().where(jobs.c.kind == old).values(kind=new))
    # Keys that were the kind's own name, one job for all cases.
    connection.execute(jobs.update().where(jobs.c.key == 'imported').values(key='presegment_pending'))
    connection.execute(jobs.update().where(jobs.c.key == 'promoted').values(key='renew_presegmentations'))
    for identifier, payload in connection.execute(sa.select(jobs.c.id, jobs.c.payload).where(jobs.c.kind == 'measure_effort')).all():
        if 'revision' in payload:
            changed = {'annotation' if key == 'revision' else key: value for key, value in payload.items()}
            connection.execute(jobs.update().where(jobs.c.id == identifier).values(payload=changed))


def downgrade() -> None:
    first = _first_tables()
    for table in ('reviews', 'evaluations', 'round_cases'):
        op.execute(f'CREATE TABLE {table}_before AS SELECT * FROM {table}')
        op.drop_table(table)
    for name in ('leases', 'revisions', 'revision_structures', 'reviews', 'evaluations', 'round_cases'):
        op.create_table(name, *first[name])
    op.execute(
        'INSERT INTO leases (id, ticket, acquisition_id, client, "user", second_read, presegmentation_id, revision_id, asked_for,'
        ' created_at, expires_at, ended_at, ended) SELECT id, ticket, acquisition_id, client, account, second_reading,'
        ' presegmentation_id, annotation_id, requested, created_at, expires_at, ended_at,'
        " CASE WHEN outcome = 'returned' THEN 'released' ELSE outcome END FROM assignments"
    )
    same = ('id, acquisition_id, examination_id, number, state, author, client, path, digest, upload_path, upload_digest,'
            ' presegmentation_id, model_version, seconds, is_final, report, effort, created_at')
    op.execute(f'INSERT INTO revisions ({same}, lease_id) SELECT {same}, assignment_id FROM annotations')
    for table, columns in (
        ('revision_structures', 'structure, state, voxels, edited_voxels, dsc'),
        ('reviews', 'id, reviewer, verdict, comment, created_at'),
        ('evaluations', 'model_version, mean_dsc, dsc, created_at'),
        ('round_cases', 'round_number, acquisition_id, role'),
    ):
        source = 'annotation_structures' if table == 'revision_structures' else f'{table}_before'
        op.execute(f'INSERT INTO {table} (revision_id, {columns}) SELECT annotation_id, {columns} FROM {source}')
    for table in ('reviews_before', 'evaluations_before', 'round_cases_before', 'annotation_structures', 'annotations', 'assignments'):
        op.drop_table(table)
    op.create_index(op.f('ix_leases_acquisition_id'), 'leases', ['acquisition_id'])
    op.create_index(op.f('ix_leases_expires_at'), 'leases', ['expires_at'])
    op.create_index(
        'uq_leases_open', 'leases', ['acquisition_id'], unique=True,
        sqlite_where=sa.text('ended_at IS NULL AND second_read = 0'), postgresql_where=sa.text('ended_at IS NULL AND NOT second_read'),
    )
    op.create_index(op.f('ix_reviews_revision_id'), 'reviews', ['revision_id'])
    op.create_index(op.f('ix_round_cases_acquisition_id'), 'round_cases', ['acquisition_id'])
    _name_jobs_as_before()


def _name_jobs_as_before() -> None:
    connection = op.get_bind()
    jobs = sa.table('jobs', sa.column('id', sa.String), sa.column('kind', sa.String), sa.column('key', sa.String), sa.column('payload', sa.JSON))
    for identifier, payload in connection.execute(sa.select(jobs.c.id, jobs.c.payload).where(jobs.c.kind == 'measure_effort')).all():
        if 'annotation' in payload:
            changed = {'revision' if key == 'annotation' else key: value for key, value in payload.items()}
            connection.execute(jobs.update().where(jobs.c.id == identifier).values(payload=changed))
    for old, new in JOB_KINDS.items():
        connection.execute(jobs.update().where(jobs.c.kind == new).values(kind=old))
    connection.execute(jobs.update().where(jobs.c.key == 'presegment_pending').values(key='imported'))
    connection.execute(jobs.update().where(jobs.c.key == 'renew_presegmentations').values(key='promoted'))


def _first_tables() -> dict[str, list[sa.schema.SchemaItem]]:
    """Columns and constraints of the tables of 0001 whose names changed."""
    return {
        'leases': [
            sa.Column('id', sa.String(length=255), nullable=False),
            sa.Column('ticket', sa.String(length=64), nullable=False),
            sa.Column('acquisition_id', sa.String(length=255), nullable=False),
            sa.Column('client', sa.String(length=255), nullable=False),
            sa.Column('user', sa.String(length=255), nullable=True),
            sa.Column('second_read', sa.Boolean(), nullable=False),
            sa.Column('presegmentation_id', sa.String(length=255), nullable=True),
            sa.Column('revision_id', sa.String(length=255), nullable=True),
            sa.Column('asked_for', sa.Boolean(), nullable=False),
            sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
            sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
            sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
            sa.Column('ended', sa.String(32), nullable=True),
            sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_leases_acquisition_id_acquisitions')),
            sa.ForeignKeyConstraint(['presegmentation_id'], ['presegmentations.id'], name=op.f('fk_leases_presegmentation_id_presegmentations')),
            sa.PrimaryKeyConstraint('id', name=op.f('pk_leases')),
            sa.UniqueConstraint('ticket', name=op.f('uq_leases_ticket')),
        ],
        'revisions': [
            sa.Column('id', sa.String(length=255), nullable=False),
            sa.Column('acquisition_id', sa.String(length=255), nullable=False),
            sa.Column('examination_id', sa.String(length=255), nullable=False),
            sa.Column('number', sa.Integer(), nullable=False),
            sa.Column('state', sa.String(32), nullable=False),
            sa.Column('author', sa.String(length=255), nullable=False),
            sa.Column('client', sa.String(length=255), nullable=False),
            sa.Column('path', sa.String(length=1024), nullable=False),
            sa.Column('digest', sa.String(length=64), nullable=False),
            sa.Column('upload_path', sa.String(length=1024), nullable=False),
            sa.Column('upload_digest', sa.String(length=64), nullable=False),
            sa.Column('presegmentation_id', sa.String(length=255), nullable=True),
            sa.Column('model_version', sa.String(length=64), nullable=True),
            sa.Column('lease_id', sa.String(length=255), nullable=True),
            sa.Column('seconds', sa.Float(), nullable=True),
            sa.Column('is_final', sa.Boolean(), nullable=False),
            sa.Column('report', sa.JSON(), nullable=False),
            sa.Column('effort', sa.JSON(), nullable=True),
            sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
            sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_revisions_acquisition_id_acquisitions')),
            sa.ForeignKeyConstraint(['examination_id'], ['examinations.id'], name=op.f('fk_revisions_examination_id_examinations')),
            sa.ForeignKeyConstraint(['lease_id'], ['leases.id'], name=op.f('fk_revisions_lease_id_leases')),
            sa.ForeignKeyConstraint(['model_version'], ['model_versions.version'], name=op.f('fk_revisions_model_version_model_versions')),
            sa.ForeignKeyConstraint(['presegmentation_id'], ['presegmentations.id'], name=op.f('fk_revisions_presegmentation_id_presegmentations')),
            sa.PrimaryKeyConstraint('id', name=op.f('pk_revisions')),
            sa.UniqueConstraint('acquisition_id', 'number', name=op.f('uq_revisions_acquisition_id_number')),
        ],
        'revision_structures': [
            sa.Column('revision_id', sa.String(length=255), nullable=False),
            sa.Column('structure', sa.String(length=64), nullable=False),
            sa.Column('state', sa.String(32), nullable=False),
            sa.Column('voxels', sa.Integer(), nullable=False),
            sa.Column('edited_voxels', sa.Integer(), nullable=True),
            sa.Column('dsc', sa.Float(), nullable=True),
            sa.ForeignKeyConstraint(['revision_id'], ['revisions.id'], name=op.f('fk_revision_structures_revision_id_revisions')),
            sa.PrimaryKeyConstraint('revision_id', 'structure', name=op.f('pk_revision_structures')),
        ],
        'reviews': [
            sa.Column('id', sa.String(length=255), nullable=False),
            sa.Column('revision_id', sa.String(length=255), nullable=False),
            sa.Column('reviewer', sa.String(length=255), nullable=False),
            sa.Column('verdict', sa.String(32), nullable=False),
            sa.Column('comment', sa.Text(), nullable=False),
            sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
            sa.ForeignKeyConstraint(['revision_id'], ['revisions.id'], name=op.f('fk_reviews_revision_id_revisions')),
            sa.PrimaryKeyConstraint('id', name=op.f('pk_reviews')),
        ],
        'evaluations': [
            sa.Column('model_version', sa.String(length=64), nullable=False),
            sa.Column('revision_id', sa.String(length=255), nullable=False),
            sa.Column('mean_dsc', sa.Float(), nullable=True),
            sa.Column('dsc', sa.JSON(), nullable=False),
            sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
            sa.ForeignKeyConstraint(['revision_id'], ['revisions.id'], name=op.f('fk_evaluations_revision_id_revisions')),
            sa.PrimaryKeyConstraint('model_version', 'revision_id', name=op.f('pk_evaluations')),
        ],
        'round_cases': [
            sa.Column('round_number', sa.Integer(), nullable=False),
            sa.Column('revision_id', sa.String(length=255), nullable=False),
            sa.Column('acquisition_id', sa.String(length=255), nullable=False),
            sa.Column('role', sa.String(32), nullable=False),
            sa.ForeignKeyConstraint(['acquisition_id'], ['acquisitions.id'], name=op.f('fk_round_cases_acquisition_id_acquisitions')),
            sa.ForeignKeyConstraint(['revision_id'], ['revisions.id'], name=op.f('fk_round_cases_revision_id_revisions')),
            sa.ForeignKeyConstraint(['round_number'], ['rounds.number'], name=op.f('fk_round_cases_round_number_rounds')),
            sa.PrimaryKeyConstraint('round_number', 'revision_id', name=op.f('pk_round_cases')),
        ],
    }
