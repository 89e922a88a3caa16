"""The card of an exported data set: what is in it, in numbers that name nobody.

What a card should say: Gebru T, et al. Datasheets for datasets. Commun ACM 2021. doi 10.1145/3458723
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

import mrseg_label
from mrseg_label.catalog.types import AnnotationState, StructureState
from mrseg_label.clock import iso
from mrseg_label.exports.dataset import Case, DataSet, MaskChoice, Person, Way
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.card import IMPORTED, NOT_STATED, cell_text

CHOICES = {
    MaskChoice.ACCEPTED: "of each case the newest accepted annotation",
    MaskChoice.SUBMITTED: "of each case the newest annotation, also one that awaits review",
}


class _Counts:
    """What was counted so far; only counts stay in memory."""

    def __init__(self, scheme: LabelScheme) -> None:
        self.numbers: Counter[str] = Counter()
        self.sex: Counter[str] = Counter()
        self.ages: list[float] = []
        self.sequences: Counter[str] = Counter()
        self.stations: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.readers: Counter[str] = Counter()
        self.began_from: Counter[str] = Counter()
        self.ways: dict[str, Counter[str]] = {name: Counter() for name in scheme.names}
        self.newest = ""
        self.content = hashlib.sha256(scheme.digest.encode())

    def add(self, person: Person) -> None:
        participant = person.participant
        self.numbers.update(participants=1, participants_held_out=int(bool(participant.held_out)))
        self.sex[participant.sex or NOT_STATED] += 1
        self.ages += [] if participant.age is None else [participant.age]
        for case in person.cases:
            self._add_case(case)

    def _add_case(self, case: Case) -> None:
        annotation = case.annotation
        self.numbers.update(acquisitions=1, awaiting_review=int(annotation.state is AnnotationState.SUBMITTED))
        self.stations[case.station.acquisition.station or NOT_STATED] += 1
        for image in case.images:
            self.numbers[f"examinations_{image.way}"] += 1
            self.sequences[image.examination.sequence or NOT_STATED] += 1
            self.licences[image.examination.licence or NOT_STATED] += 1
            self.content.update(f"\n{image.examination.digest}\t{annotation.digest}\t{image.way}".encode())
        if case.is_imported:
            self.numbers["imported_masks"] += 1
        else:
            self.readers[annotation.author] += 1
        self.began_from[annotation.model_version or "nothing"] += 1
        self.newest = max(self.newest, iso(annotation.created_at) or "")
        for item in annotation.structures:
            if item.structure in self.ways:
                self.ways[item.structure][_way_of(item.state, imported=case.is_imported)] += 1


def _way_of(state: StructureState, *, imported: bool) -> str:
    if not state.judged:
        return str(StructureState.NOT_ANNOTATED)
    return IMPORTED if imported and state is not StructureState.ABSENT else str(state)


def make_card(dataset: DataSet, name: str) -> dict[str, Any]:
    """Describe a data set, as JSON. The same content gives the same card."""
    counts, scheme = _Counts(dataset.scheme), dataset.scheme
    for person in dataset.read():
        counts.add(person)
    numbers, ages = counts.numbers, counts.ages
    annotated, propagated, without = (numbers[f"examinations_{way}"] for way in Way)
    return {
        "name": name,
        "version": counts.content.hexdigest()[:12],
        "date": counts.newest[:10],
        "made_by": f"mrseg-label {mrseg_label.__version__}",
        "masks": CHOICES[dataset.selection.masks],
        "channels": "only the one that readers open" if dataset.selection.primary_only else "all of each acquisition",
        "label_scheme": {"digest": scheme.digest, "structures": len(scheme)},
        "participants": numbers["participants"],
        "participants_held_out": numbers["participants_held_out"],
        "sex": _sorted(counts.sex),
        "age_years": {"known": len(ages)}
        | ({"youngest": min(ages), "median": median(ages), "oldest": max(ages)} if ages else {}),
        "acquisitions": numbers["acquisitions"],
        "examinations": annotated + propagated + without,
        "examinations_annotated": annotated,
        "examinations_with_propagated_mask": propagated,
        "examinations_without_mask": without,
        "awaiting_review": numbers["awaiting_review"],
        "stations": _sorted(counts.stations),
        "sequences": _sorted(counts.sequences),
        "licences": _sorted(counts.licences),
        "readers": len(counts.readers),
        "cases_by_reader": sorted(counts.readers.values(), reverse=True),
        "imported_masks": numbers["imported_masks"],
        "began_from": _sorted(counts.began_from),
        "structures": {name: _sorted(ways) for name, ways in counts.ways.items() if ways},
    }


def card_text(card: Mapping[str, Any]) -> str:
    """Write a card as Markdown, for people who are given the data set."""
    lines = [
        f"# {card['name']}",
        "",
        f"Version `{card['version']}`, of {card['date']}, made by {card['made_by']}. All entries are counts: participants are named "
        "by their pseudonyms in the files alone, readers nowhere.",
        "",
        f"Masks: {card['masks']}. A mask is drawn on one image of an acquisition (annotated) and holds for the other images on the "
        "same grid (propagated); the files say which is which. A structure that was not annotated is background in the mask and says "
        "nothing: the files name those of each case.",
        "",
        "| | |",
        "| --- | --- |",
    ]
    shown = [name for name in card if name not in ("name", "version", "date", "made_by", "masks", "structures")]
    lines += [f"| {name.replace('_', ' ')} | {cell_text(card[name])} |" for name in shown]
    lines += [
        "",
        "## Structures",
        "",
        "In how many cases each structure was drawn where the draft had none, corrected, left as the draft had it (unchanged), "
        "imported with a mask, judged absent, or not annotated.",
        "",
        "| structure | cases |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {cell_text(ways)} |" for name, ways in card["structures"].items()]
    return "\n".join(lines) + "\n"


def _sorted(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))
