"""The card of a data set: what a model was trained on, in numbers that name nobody.

It is stored with the model version and leaves with it, so participants and readers are counted, and no code or name
is in it. What a card should say: Gebru T, et al. Datasheets for datasets. Commun ACM 2021. doi 10.1145/3458723
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Examination, Participant, Round, RoundCase
from mrseg_label.catalog.types import IMPORT_AUTHOR, CaseRole, StructureState
from mrseg_label.labels import LabelScheme

NOT_STATED = "not stated"
IMPORTED = "imported"  # a mask that came with an import: nobody knows whether it began as a pre-segmentation

Filled = Mapping[str, Mapping[str, str]]
"""For each acquisition, the model version that each structure which nobody annotated was filled from."""


def make_card(
    session: Session, row: Round, scheme: LabelScheme, trained_on: Collection[str], filled: Filled
) -> dict[str, Any]:
    """Describe the snapshot of a round, as JSON.

    Parameters
    ----------
    trained_on : ids of the examinations that were trained on; others of the snapshot could not be used.
    filled : what the label maps of training cases were filled with.
    """
    cases = rows.cases(session, row.number)
    training = [case for case in cases if case.role is CaseRole.TRAINING]
    held_out = [case for case in cases if case.role is CaseRole.HELD_OUT]
    used = _images(session, training, trained_on)
    return {
        "round": row.number,
        "snapshot": row.snapshot_digest,
        "label_scheme": {"digest": scheme.digest, "structures": len(scheme)},
        "training": _describe(training, used),
        "held_out": _describe(held_out, _images(session, held_out)),
        "structures": _structures([case.annotation for case in training if used[case.acquisition_id]], scheme, filled),
    }


def _images(
    session: Session, cases: Iterable[RoundCase], only: Collection[str] | None = None
) -> dict[str, list[Examination]]:
    """List the images of each acquisition; by default those that carry its annotation."""
    found: dict[str, list[Examination]] = {}
    for case in cases:
        images = acquisitions.channels(session, case.acquisition_id)
        acquisition = acquisitions.get(session, case.acquisition_id)
        assert acquisition is not None
        without = without_mask(acquisition, images, case.annotation.examination_id) if only is None else {}
        found[acquisition.id] = [one for one in images if (one.id not in without if only is None else one.id in only)]
    return found


def _describe(cases: Sequence[RoundCase], images: Mapping[str, Sequence[Examination]]) -> dict[str, Any]:
    """Count what a side of the snapshot consists of."""
    annotations = [case.annotation for case in cases if images[case.acquisition_id]]
    examinations = [image for found in images.values() for image in found]
    used = {image.acquisition_id: image.acquisition for image in examinations}
    people = {acquisition.participant.id: acquisition.participant for acquisition in used.values()}
    drawn_on = {annotation.examination_id for annotation in annotations}
    return {
        **_describe_people(list(people.values())),
        "acquisitions": len(used),
        "examinations": len(examinations),
        "examinations_with_propagated_mask": sum(image.id not in drawn_on for image in examinations),
        "acquisitions_left_out": len(cases) - len(used),
        "stations": _counted(acquisition.station for acquisition in used.values()),
        "sequences": _counted(image.sequence for image in examinations),
        "licences": _counted(image.licence for image in examinations),
        **_describe_work(annotations),
    }


def _describe_people(people: Sequence[Participant]) -> dict[str, Any]:
    ages = [person.age for person in people if person.age is not None]
    return {
        "participants": len(people),
        "sex": _counted(person.sex for person in people),
        "age_years": {"known": len(ages)}
        | ({"youngest": min(ages), "median": median(ages), "oldest": max(ages)} if ages else {}),
    }


def _describe_work(annotations: Sequence[Annotation]) -> dict[str, Any]:
    readers = Counter(annotation.author for annotation in annotations if annotation.author != IMPORT_AUTHOR)
    return {
        "readers": len(readers),
        "cases_by_reader": sorted(readers.values(), reverse=True),
        "imported_masks": sum(annotation.author == IMPORT_AUTHOR for annotation in annotations),
        "began_from": _counted(annotation.model_version or "nothing" for annotation in annotations),
    }


def _structures(annotations: Sequence[Annotation], scheme: LabelScheme, filled: Filled) -> dict[str, Any]:
    """Count for each structure how it came about: drawn, corrected, unchanged, imported, absent, not annotated, filled."""
    ways: dict[str, Counter[str]] = {name: Counter() for name in scheme.names}
    sources: dict[str, Counter[str]] = {name: Counter() for name in scheme.names}
    for annotation in annotations:
        came_with_import = annotation.author == IMPORT_AUTHOR
        filled_here = filled.get(annotation.acquisition_id, {})
        for item in annotation.structures:
            if item.structure not in ways:
                continue
            if item.structure in filled_here:
                sources[item.structure][filled_here[item.structure]] += 1
            elif not item.state.judged:
                ways[item.structure][StructureState.NOT_ANNOTATED] += 1
            elif came_with_import and item.state is not StructureState.ABSENT:
                ways[item.structure][IMPORTED] += 1
            else:
                ways[item.structure][item.state] += 1
    return {
        name: {**{str(way): count for way, count in sorted(ways[name].items())}}
        | ({"filled_from": dict(sorted(sources[name].items()))} if sources[name] else {})
        for name in scheme.names
        if ways[name] or sources[name]
    }


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    """Count values by their text; those that are empty count as not stated."""
    return dict(sorted(Counter(value or NOT_STATED for value in values).items()))


def card_text(card: Mapping[str, Any], version: str) -> str:
    """Write a card as Markdown, for people who are given the model."""
    lines = [f"# Data set of {version}", ""]
    lines.append(
        f"Snapshot of round {card['round']}, SHA-256 `{card['snapshot']}`. Nobody is named here; all entries are counts."
    )
    for title, key in (("Training", "training"), ("Held-out cases, for evaluation alone", "held_out")):
        lines += ["", f"## {title}", "", "| | |", "| --- | --- |"]
        lines += [f"| {name.replace('_', ' ')} | {cell_text(value)} |" for name, value in card[key].items()]
    if (doubts := card.get("doubts")) is not None:
        lines += ["", "## Masks whose sides or directions are doubtful", "", f"{doubts['masks']}, used as they are."]
        lines += [f"- {name}: {count}" for name, count in doubts["by_structure"].items()]
    lines += [
        "",
        "## Structures of the training cases",
        "",
        "In how many annotated cases each structure was drawn where the draft had none, corrected, left as the draft had it",
        "(unchanged), imported with a mask, judged absent, or not annotated; and from which model version it was filled.",
        "",
        "| structure | cases |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {cell_text(value)} |" for name, value in card["structures"].items()]
    return "\n".join(lines) + "\n"


def cell_text(value: object) -> str:
    """Write a value of a card as the cell of a table."""
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{str(name).replace('_', ' ')}: {cell_text(entry)}" for name, entry in value.items()) or "none"
        )
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
