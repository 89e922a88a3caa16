"""Find stored images of the scan that a new image is of, whatever the order of their axes and the type of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry, load_image
from mrseg_label.imaging.same_scan import Relation, fingerprint, relation
from mrseg_label.intake.images import PreparedImage
from mrseg_label.jobs import JobContext, queue
from mrseg_label.workspace import Workspace

# Images of earlier versions that an import compares before it starts; a worker compares the rest, a part at a time.
MOST_READ = 200
_PER_JOB = 100


class Twins:
    """Compares new images with stored ones of the same fingerprint."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._files: dict[str, Path] = {}

    def add_file(self, stored: str, file: Path) -> None:
        """Remember where the file of a recorded image is until it is moved to its place in the workspace."""
        self._files[stored] = file

    def forget_files(self) -> None:
        """Forget them: they were moved, or their transaction was rolled back."""
        self._files = {}

    def same_scan(self, session: Session, image: PreparedImage) -> list[Examination]:
        """Return the stored examinations with the same voxels in the same places, oldest first."""
        return [other for other, found in self._related(session, image) if found is Relation.SAME]

    def warn_of(self, session: Session, image: PreparedImage) -> list[str]:
        """Return warnings of images whose voxels agree in other places, and add them to those images too."""
        warnings = []
        for other, found in self._related(session, image):
            warnings.append(_warning(found, _describe(other)))
            mine = f"{Path(image.named.shown).name} of participant {image.named.participant}"
            other.warnings = [*other.warnings, _warning(found, mine)]
        return warnings

    def warn_of_stored(self, session: Session, row: Examination, array: NDArray[Any], geometry: Geometry) -> None:
        """Add warnings to a stored image and to the others whose voxels agree with it."""
        for other, found in self._compare(session, row.fingerprint or "", array, geometry, row.id):
            for one, its_twin in ((row, other), (other, row)):
                warning = _warning(found, _describe(its_twin))
                if warning not in one.warnings:
                    one.warnings = [*one.warnings, warning]

    def _related(self, session: Session, image: PreparedImage) -> list[tuple[Examination, Relation]]:
        if image.file is None or image.geometry is None or not image.fingerprint:
            return []
        if not examinations.with_fingerprint(session, image.fingerprint):
            return []
        array, geometry, _ = load_image(image.file)
        return self._compare(session, image.fingerprint, array, geometry)

    def _compare(
        self, session: Session, known_by: str, array: NDArray[Any], geometry: Geometry, own_id: str = ""
    ) -> list[tuple[Examination, Relation]]:
        found = []
        for other in examinations.with_fingerprint(session, known_by):
            if other.id == own_id:
                continue
            file = self._files.get(other.path) or self._workspace.path(other.path)
            try:
                other_array, other_geometry, _ = load_image(file)
            except (MrsegError, OSError):
                continue  # what damaged it is reported where it is used
            related = relation(array, geometry, other_array, other_geometry)
            if related is not None:
                found.append((other, related))
        return found


def compare_earlier(workspace: OpenedWorkspace, limit: int = MOST_READ) -> bool:
    """Compare images of earlier versions, which have no fingerprint, with the others; warn in both where scans agree.

    Parameters
    ----------
    limit : number of images to read at most.

    Returns
    -------
    Whether any are left.
    """
    twins = Twins(workspace)
    with workspace.catalog.read() as session:
        missing = [row.id for row in examinations.without_fingerprint(session, limit)]
    for examination_id in missing:
        with workspace.catalog.read() as session:
            row = examinations.get(session, examination_id)
        if row is None:
            continue
        try:
            array, geometry, _ = load_image(workspace.path(row.path))
        except (MrsegError, OSError):
            found = ""  # what damaged it is reported where it is used
        else:
            found = fingerprint(array)
        with workspace.catalog.begin() as session:
            row = examinations.get(session, examination_id)
            if row is None:
                continue
            row.fingerprint = found
            if found:
                twins.warn_of_stored(session, row, array, geometry)
    return len(missing) == limit


def run(context: JobContext) -> None:
    """Compare the images of earlier versions, a part in each job, until none is left."""
    left = compare_earlier(context.workspace, _PER_JOB)
    context.check()
    with context.publish() as session:
        session.flush()
        if left:
            queue.enqueue(session, queue.COMPARE_SCANS, {}, key=queue.COMPARE_SCANS, priority=queue.BACKGROUND_PRIORITY)


def _describe(row: Examination) -> str:
    return f"{Path(row.source).name} of participant {row.acquisition.participant.code} (examination {row.id})"


def _warning(found: Relation, other: str) -> str:
    if found is Relation.FLIPPED:
        return (
            f"the voxels agree with those of {other}, but the axes are flipped or exchanged: left and right, or up and "
            "down, are wrong in one of the two; exclude that one"
        )
    if found is Relation.SAME:
        return f"the same scan as {other}; exclude one of the two"
    return (
        f"the voxels agree with those of {other}, but their position or spacing differs: it is the same scan with "
        "another header; exclude one of the two"
    )
