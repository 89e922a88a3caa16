"""The label maps that a network is trained on: annotations, filled where structures were not annotated.

A structure that was not annotated is not absent. It is filled from the draft of a model that knows it well
(:mod:`mrseg_label.rounds.filling_choice`), unless nobody draws it at the station of the case: then the draft is probably wrong. Where nothing was filled, and the structure occurs in other cases of the data
set, it may be hidden in the background of this case. Then nnU-Net's label ``ignore`` keeps its possible place
(:mod:`mrseg_label.rounds.possible_places`) out of the training, or the whole background where the place is not known. A
draft without the structure is no evidence that it is absent; that participants of the station were judged and none
has it, is. A structure that occurs in no case cannot be learned, so no background is ignored on its account.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.draft_details import version_of
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.tables import Acquisition, Annotation
from mrseg_label.errors import InvalidInput, MrsegError, StoredFileError
from mrseg_label.imaging import write_nifti
from mrseg_label.presegmentation.known_structures import TRAINED_STRUCTURES_KEY, structures_known
from mrseg_label.rounds.filling import FILLED_KEY, FilledMask, fill_not_annotated
from mrseg_label.rounds.filling_choice import FillingPlan, choose_drafts, filling_models
from mrseg_label.rounds.possible_places import Box, body_box, occupancies, possible_place
from mrseg_label.rounds.stations import Stations, drawn
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.rounds")
_NAMED_AT_MOST = 12
UNUSABLE = "no structure is annotated, and the background is unknown"


@dataclass(frozen=True)
class TrainingLabelMap:
    """The label map of one acquisition.

    Attributes
    ----------
    hidden : names of structures that occur in other cases and may be anywhere in this one's background.
    placed : names of those whose possible place has the label ``ignore`` (the scheme's highest label id + 1).
    unexpected : names of those that are taken to be absent, since they do not occur at the station.
    has_structures : whether any voxel belongs to a structure.
    """

    annotation: Annotation
    mask: FilledMask
    hidden: tuple[str, ...]
    placed: tuple[str, ...]
    unexpected: tuple[str, ...]
    has_structures: bool

    @property
    def background_known(self) -> bool:
        """Whether the background that is not ignored is free of structures that other cases contain."""
        return not self.hidden

    @property
    def partly_ignored(self) -> bool:
        """Whether possible places of structures have the label ``ignore``."""
        return bool(self.placed) and not self.hidden

    @property
    def usable(self) -> bool:
        """Whether a network can learn anything from it: a structure, or what background looks like."""
        return self.has_structures or self.background_known


@dataclass(frozen=True)
class TrainingLabels:
    """The label maps of a data set.

    Attributes
    ----------
    maps : one for each annotation, in their order, without those that were left out.
    structures : names of the structures that occur in any of them, in the order of the label ids.
    """

    maps: tuple[TrainingLabelMap, ...]
    structures: tuple[str, ...]

    def require_background(self) -> None:
        """Raise :class:`InvalidInput` if the background is unknown in every usable case."""
        usable = [label_map for label_map in self.maps if label_map.usable]
        if usable and not any(label_map.background_known for label_map in usable):
            missing = sorted({name for label_map in usable for name in label_map.hidden})
            raise InvalidInput(
                "no case shows what background looks like: in every case a structure is not annotated that another case "
                f"contains ({', '.join(missing[:_NAMED_AT_MOST])}), and no model that is known to segment it well has "
                "found it there. Check that the weights for drafts are installed (mrseg-label doctor), or submit one case "
                "that lists all of these structures (empty where absent), then start a new round"
            )

    def record(self) -> dict[str, Any]:
        """Describe how the label maps were made, as JSON for the round: trained, filled, ignored and left out."""
        filled = Counter(version for one in self.maps for version in set(one.mask.filled.values()))
        record: dict[str, Any] = {
            TRAINED_STRUCTURES_KEY: list(self.structures),
            "cases_filled_from": dict(sorted(filled.items())),
        }
        if filled_in := {one.annotation.acquisition_id: dict(one.mask.filled) for one in self.maps if one.mask.filled}:
            record[FILLED_KEY] = filled_in
        for key, names in (
            ("background_ignored", [one.hidden for one in self.maps]),
            ("place_ignored", [one.placed for one in self.maps]),
            ("taken_as_absent", [one.unexpected for one in self.maps]),
        ):
            found = {one.annotation.acquisition_id: list(of) for one, of in zip(self.maps, names, strict=True) if of}
            record |= {key: found} if found else {}
        left_out = [label_map.annotation.acquisition_id for label_map in self.maps if not label_map.usable]
        if left_out:
            record["left_out"] = dict.fromkeys(left_out, UNUSABLE)
        return record


def make_training_labels(
    workspace: Workspace,
    session: Session,
    annotations: Sequence[Annotation],
    folder: Path,
    *,
    plan: FillingPlan | None = None,
    left_out: dict[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingLabels:
    """Make the label maps of a data set from annotations.

    Parameters
    ----------
    folder : where the label maps that had to be filled are written.
    plan : what each annotation is filled from; by default it is chosen now among the drafts that exist.
    left_out : if given, annotations whose mask cannot be read are left out, and their reasons added here by id.
    progress : called with the number of annotations done and their total.
    """
    known = filling_models(workspace, session) if plan is None else None
    cases: list[_Case] = []
    searched: dict[str, set[str]] = {}
    stations = Stations(session, annotations)
    for done, annotation in enumerate(annotations):
        progress(done, len(annotations))
        if known is not None:
            plan = FillingPlan({annotation.id: choose_drafts(workspace, session, annotation, known, stations)})
        assert plan is not None
        drafts = plan.of(session, annotation)
        searched[annotation.id] = {
            name
            for name, draft in (drafts or {}).items()
            if name in structures_known(workspace, session, version_of(draft, name))
        }
        try:
            mask = fill_not_annotated(workspace, session, annotation, folder, drafts)
        except (InvalidInput, StoredFileError) as error:
            if left_out is None:
                raise
            left_out[annotation.id] = str(error)
            continue
        cases.append(_Case(annotation, mask, stations.acquisition_of(annotation)))
    found = {name for case in cases for name in case.present}
    places = _Places(workspace, session, stations, cases)
    maps = tuple(places.ignore_hidden(case, found, folder) for case in cases)
    if not any(one.background_known for one in maps if one.usable):
        maps = tuple(places.ignore_hidden(case, found, folder, searched[case.annotation.id]) for case in cases)
    return TrainingLabels(maps, tuple(name for name in workspace.scheme.names if name in found))


@dataclass(frozen=True)
class _Case:
    annotation: Annotation
    mask: FilledMask
    acquisition: Acquisition

    @property
    def present(self) -> frozenset[str]:
        """Names of the structures that have a voxel, drawn or filled."""
        return frozenset(drawn(self.annotation)).union(self.mask.filled)


class _Places:
    """The possible places of structures, from all cases of a data set. They are found when they are first needed."""

    def __init__(self, workspace: Workspace, session: Session, stations: Stations, cases: Sequence[_Case]) -> None:
        self.workspace = workspace
        self.session = session
        self.stations = stations
        self.cases = cases
        self._bodies: dict[str, Box | None] = {}
        self._found: dict[tuple[str, str], list[NDArray[np.bool_]]] = {}
        for case in cases:
            stations.add_present(case.annotation, case.mask.filled)

    def ignore_hidden(
        self, case: _Case, found: Iterable[str], folder: Path, searched: Collection[str] = ()
    ) -> TrainingLabelMap:
        """Mark with ``ignore`` where structures that were not found may be, and describe the label map.

        Parameters
        ----------
        searched : the structures that a model which knows them has not found either, which then count as absent although
            nothing is known of the station. Given as a last resort, where no case shows any background and no network
            could be trained.
        """
        hidden, placed, unexpected = [], [], []
        for name in case.mask.not_found:
            if name not in found:
                continue
            is_placed = case.acquisition.station and self.stations.occurrence(case.annotation, name).is_placed
            if self.stations.is_unexpected(case.annotation, name):
                unexpected.append(name)
            elif is_placed and self._body(case) is not None:
                placed.append(name)
            elif name in searched:
                unexpected.append(name)
            else:
                hidden.append(name)
        mask = case.mask
        if placed and not hidden:
            mask = self._mark(case, placed, folder)
        return TrainingLabelMap(
            case.annotation, mask, tuple(hidden), tuple(placed), tuple(unexpected), bool(case.present)
        )

    def _mark(self, case: _Case, names: Sequence[str], folder: Path) -> FilledMask:
        body = self._body(case)
        assert body is not None
        label_map, geometry = read_label_map(case.mask.path)
        for name in names:
            place = possible_place(self._found_at(case.acquisition.station, name), geometry, body)
            label_map = np.where(place & (label_map == 0), np.uint8(len(self.workspace.scheme) + 1), label_map)
        target = folder / f"{case.annotation.id}.nii.gz"
        write_nifti(target, label_map, geometry)
        return replace(case.mask, path=target, digest=None)

    def _found_at(self, station: str, name: str) -> list[NDArray[np.bool_]]:
        """Where the cases of a station have a structure; all structures are looked for in one go."""
        if (station, name) not in self._found:
            scheme = self.workspace.scheme
            for case in self.cases:
                body = self._body(case) if case.acquisition.station == station else None
                if body is None:
                    continue
                label_map, geometry = read_label_map(case.mask.path)
                labels = [scheme[present].id for present in case.present]
                for label, occupied in occupancies(label_map, geometry, body, labels).items():
                    self._found.setdefault((station, scheme.names[label - 1]), []).append(occupied)
        return self._found.get((station, name), [])

    def _body(self, case: _Case) -> Box | None:
        """Box of the body in a case; None where its image cannot be read."""
        key = case.acquisition.id
        if key not in self._bodies:
            examination = acquisitions.primary_of(self.session, key)
            try:
                self._bodies[key] = None if examination is None else body_box(self.workspace.path(examination.path))
            except MrsegError as error:
                log.warning("the body of acquisition %s cannot be found: %s", key, error)
                self._bodies[key] = None
        return self._bodies[key]
