"""A structure that the reference does not have leaves the mean DSC of an evaluation and is counted apart."""

from alembic import op
import sqlalchemy as sa


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('evaluations', sa.Column('apart', sa.JSON(), nullable=False, server_default='{}'))
    connection = op.get_bind()
    evaluations = sa.table(
        'evaluations', sa.column('model_version', sa.String), sa.column('annotation_id', sa.String),
        sa.column('mean_dsc', sa.Float), sa.column('dsc', sa.JSON), sa.column('apart', sa.JSON),
    )
    structures = sa.table(
        'annotation_structures', sa.column('annotation_id', sa.String), sa.column('structure', sa.String),
        sa.column('state', sa.String),
    )
    absent: dict[str, set[str]] = {}
    query = sa.select(structures.c.annotation_id, structures.c.structure).where(
        structures.c.state == 'absent', structures.c.annotation_id.in_(sa.select(evaluations.c.annotation_id))
    )
    for annotation_id, structure in connection.execute(query):
        absent.setdefault(annotation_id, set()).add(structure)
    for row in connection.execute(sa.select(evaluations)).all():
        found = {name for name, value in row.dsc.items() if value is not None} & absent.get(row.annotation_id, set())
        if not found:
            continue
        dsc = {name: None if name in found else value for name, value in row.dsc.items()}
        counted = [value for value in dsc.values() if value is not None]
        connection.execute(
            evaluations.update()
            .where(
                evaluations.c.model_version == row.model_version, evaluations.c.annotation_id == row.annotation_id
            )
            .values(
                dsc=dsc,
                mean_dsc=sum(counted) / len(counted) if counted else None,
                apart={'false_positive_ml': {name: None for name in sorted(found)}},  # their volume was not kept
            )
        )


def downgrade() -> None:
    op.drop_column('evaluations', 'apart')  # absent structures stay out of the means
