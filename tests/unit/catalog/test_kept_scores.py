"""What is kept of model versions is what would be measured anew, whatever changes, and what did not change is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mrseg_label.catalog.database import Catalog, open_catalog
from mrseg_label.catalog.queries import erasure, held_out, kept_scores, models, performance
from mrseg_label.catalog.tables import BOOTSTRAP, Acquisition, Annotation, AnnotationStructure, ModelVersion
from mrseg_label.catalog.types import AnnotationState, CaseRole, ModelStatus, StructureState
from tests.support.catalog_rows import add_acquisition, add_annotation, add_evaluation, add_participant, add_round
from tests.support.statements import Statements


@pytest.fixture
def catalog(tmp_path: Path, database_url: Callable[[Path], str]) -> Iterator[Catalog]:
    """Two versions, each with the drafts of three annotated cases; the first annotation is evaluated."""
    with closing(open_catalog(database_url(tmp_path))) as made:
        with made.begin() as session:
            models.ensure_bootstrap(session)
            session.add(ModelVersion(version="r1", status=ModelStatus.RETIRED))
            session.flush()
            for number in range(6):
                case = add_acquisition(session, add_participant(session, f"P{number}"))
                version = BOOTSTRAP if number < 3 else "r1"
                annotation = add_annotation(
                    session, case, model_version=version, edited=100 * number, structures={"liver": 0.1 * number}
                )
                if number == 0:
                    add_evaluation(session, BOOTSTRAP, annotation, 0.5, {"liver": 0.5})
        yield made


def check(catalog: Catalog) -> int:
    """Compare what is kept with what is measured anew; returns how many statements it took."""
    with catalog.read() as session:
        versions = models.list_all(session)
        names = [row.version for row in versions]
        statements = Statements(catalog)
        with statements.recorded():
            sums = kept_scores.sums_by_version(session, versions)
            scores, common = kept_scores.scores_of(session, names), kept_scores.common_scores(session)
        assert sums == performance.sums_by_version(session, versions)
        assert scores == held_out.scores_of(session, names)
        assert common == held_out.compared(session).scores
    return len(statements.sent)


def test_what_is_kept_follows_every_change(catalog: Catalog) -> None:
    check(catalog)
    unchanged = check(catalog)
    assert unchanged <= 6
    with catalog.begin() as session:  # as the job that measures effort
        row = session.query(Annotation).filter_by(model_version="r1").first()
        assert row is not None and row.effort is not None
        row.effort = {**row.effort, "edited_voxels": 7}
        row.structures[0].edited_voxels = 7
        row.structures.append(AnnotationStructure(structure="spleen", state=StructureState.DRAWN, voxels=50, dsc=0.2, drafted_by=BOOTSTRAP))  # fmt: skip
        case = row.acquisition_id
    assert check(catalog) > unchanged
    with catalog.begin() as session:  # a newer mask of the same case, of another version's draft
        add_annotation(session, session.get_one(Acquisition, case), model_version=BOOTSTRAP, edited=3, number=2)
    check(catalog)
    with catalog.begin() as session:
        session.query(Annotation).filter_by(acquisition_id=case, number=2).one().state = AnnotationState.REJECTED
    check(catalog)
    with catalog.begin() as session:
        annotation = session.query(Annotation).filter_by(number=1).first()
        assert annotation is not None
        add_evaluation(session, "r1", annotation, 0.7, {"liver": 0.7})
        add_round(session, 1, [(annotation, CaseRole.TRAINING)])
        session.get_one(ModelVersion, "r1").round_number = 1
    check(catalog)
    with catalog.begin() as session:  # on request, past the mapper
        person = session.get_one(Acquisition, annotation.acquisition_id).participant_id
        erasure.delete_belongings(session, erasure.find_belongings(session, [person]))
    check(catalog)
    assert check(catalog) <= 6


def test_what_an_open_transaction_changed_is_seen_by_itself_alone(catalog: Catalog) -> None:
    check(catalog)
    with catalog.begin() as session:
        row = session.query(Annotation).filter_by(model_version="r1").first()
        assert row is not None
        row.state = AnnotationState.REJECTED
        session.flush()
        versions = models.list_all(session)
        assert kept_scores.sums_by_version(session, versions)["r1"].presegmented_cases == 2
        with catalog.read() as other:
            assert kept_scores.sums_by_version(other, models.list_all(other))["r1"].presegmented_cases == 3
        session.rollback()
    assert check(catalog) <= 6
