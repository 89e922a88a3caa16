"""The report of a demo: a JSON document with a few notes in plain English."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mrseg_label.simulation.radiologist import CaseResult

RAW, INVERTED = "raw", "inverted"
_SEQUENCES_WITH_DARK_FAT = ("water", "t1fs")
_DIGITS = 4


def round_row(
    number: int,
    batch: Sequence[CaseResult],
    *,
    model_version: str,
    promoted: bool,
    heldout_dsc: float | None,
    training_seconds: float,
    batch_seconds: float,
    heldout_cases: int = 0,
    held_out: Collection[str] = (),
) -> dict[str, Any]:
    """Make a row of ``rounds``: the quality of a model's pre-segmentations and the work of correcting them.

    Parameters
    ----------
    number : of the round that trained the model; 0 for TotalSegmentator.
    batch : the cases that were corrected afterwards.
    model_version : the version that the round registered. If it was not promoted, ``drafts_from`` in the row names
        the version that was used instead.
    heldout_dsc, heldout_cases : mean DSC of the model on the fixed set of held-out cases, and their number.
    held_out : participants of whom no case is ever trained on; ``by_role`` has their cases and the others apart.
    """
    structures = sorted({name for case in batch for name in case.dsc})
    dsc = {name: _mean([case.dsc[name] for case in batch if name in case.dsc]) for name in structures}
    return {
        "round": number,
        "model_version": model_version,
        "promoted": promoted,
        "drafts_from": sorted({case.model_version for case in batch}),
        "cases": len(batch),
        "mix": dict(sorted(Counter(f"{case.station} {case.sequence}" for case in batch).items())),
        "mean_dsc": _mean([case.mean_dsc for case in batch]),
        "heldout_dsc": None if heldout_dsc is None else round(heldout_dsc, _DIGITS),
        "heldout_cases": heldout_cases,
        "edited_voxels_per_case": round(_mean([case.edited_voxels for case in batch])),
        "edited_ml_per_case": round(_mean([case.edited_ml for case in batch]), 1),
        "wrong_voxels_per_case": round(_mean([case.wrong_voxels for case in batch])),
        "corrected_dsc": _mean([case.corrected_dsc for case in batch]),
        "by_role": {
            "held_out": _summary([case for case in batch if case.participant in held_out]),
            "training": _summary([case for case in batch if case.participant not in held_out]),
        },
        "training_seconds": round(training_seconds, 1),
        "batch_seconds": round(batch_seconds, 1),
        "dsc": dsc,
        "dsc_cases": {name: sum(name in case.dsc for case in batch) for name in structures},
    }


def case_row(number: int, case: CaseResult, held_out: Collection[str] = ()) -> dict[str, Any]:
    """Make a row of ``cases``: one corrected case; ``held_out`` are the participants of whom no case is trained on."""
    return {
        "round": number,
        "examination": case.examination,
        "participant": case.participant,
        "held_out": case.participant in held_out,
        "station": case.station,
        "sequence": case.sequence,
        "reader": case.reader,
        "drafts_from": case.model_version,
        "mean_dsc": round(case.mean_dsc, _DIGITS),
        "corrected_dsc": round(case.corrected_dsc, _DIGITS),
        "edited_voxels": case.edited_voxels,
        "edited_ml": round(case.edited_ml, 1),
        "partly": list(case.partly),
        "missed": list(case.missed),
        "submitted_as": case.habit,
        "seconds": round(case.seconds, 1),
    }


def sources_part(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Make ``sources`` of the report from the DSC of each case by source and sequence."""
    return {
        source: {
            "mean_dsc": _mean([value for values in by_sequence.values() for value in values]),
            "cases": sum(len(values) for values in by_sequence.values()),
            "by_sequence": {sequence: _mean(values) for sequence, values in by_sequence.items()},
        }
        for source, by_sequence in scores.items()
    }


def source_notes(sources: Mapping[str, Any]) -> list[str]:
    """Describe on which sequences inverting the image improved the CT model's pre-segmentations."""
    if RAW not in sources or INVERTED not in sources:
        return []
    raw, inverted = sources[RAW]["by_sequence"], sources[INVERTED]["by_sequence"]
    pairs = {sequence: (inverted[sequence], raw[sequence]) for sequence in inverted if sequence in raw}
    better = {sequence: pair for sequence, pair in pairs.items() if pair[0] > pair[1]}
    dark = {
        sequence: pair
        for sequence, pair in pairs.items()
        if sequence not in better and sequence in _SEQUENCES_WITH_DARK_FAT
    }
    bright = {sequence: pair for sequence, pair in pairs.items() if sequence not in better and sequence not in dark}
    notes = []
    if better:
        notes.append(
            f"Inverting the images improved TotalSegmentator's drafts of the sequences {_listed(better)} (DSC inverted against raw)."
        )
    if dark:
        notes.append(
            f"It did not improve those of {_listed(dark)}, where fat is dark as on CT and inverting makes it bright."
        )
    if bright:
        notes.append(f"It did not improve those of {_listed(bright)}, although fat is bright there.")
    return notes


def loop_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe how the rounds changed the quality of pre-segmentations and the work of correcting them."""
    first, last = rows[0], rows[-1]
    notes = []
    if len(rows) > 1:
        share = last["edited_voxels_per_case"] / max(first["edited_voxels_per_case"], 1)
        notes.append(
            f"From TotalSegmentator (bootstrap) to round {last['round']}, the mean DSC of the drafts changed from "
            f"{first['mean_dsc']:.2f} to {last['mean_dsc']:.2f}, and readers edited {share:.0%} as many voxels per case."
        )
    roles = [row for row in rows if "by_role" in row]  # a demo of an earlier version that goes on has none
    notes += [_role_note(row) for row in roles if all(one["cases"] for one in row["by_role"].values())]
    notes += [
        f"The model of round {row['round']} ({row['model_version']}) was not promoted, "
        f"so readers continued with drafts by {', '.join(row['drafts_from'])}."
        for row in rows
        if not row["promoted"]
    ]
    return notes


def _role_note(row: Mapping[str, Any]) -> str:
    parts = [
        f"{one['cases']} of {whom} had a mean DSC of {one['mean_dsc']:.2f} and took {one['edited_voxels_per_case']:,} edited "
        "voxels each"
        for whom, one in (
            ("held-out participants", row["by_role"]["held_out"]),
            ("the others", row["by_role"]["training"]),
        )
    ]
    return f"Of the {row['cases']} drafts by {', '.join(row['drafts_from'])} in batch {row['round'] + 1}, {'; '.join(parts)}."


def _summary(cases: Sequence[CaseResult]) -> dict[str, Any]:
    """Summarise the drafts of some of a batch's cases, and the work of correcting them; empty means are null."""
    return {
        "cases": len(cases),
        "mean_dsc": _mean([case.mean_dsc for case in cases]) if cases else None,
        "edited_voxels_per_case": round(_mean([case.edited_voxels for case in cases])) if cases else None,
        "edited_ml_per_case": round(_mean([case.edited_ml for case in cases]), 1) if cases else None,
    }


def _listed(pairs: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{sequence} ({first:.2f} against {second:.2f})" for sequence, (first, second) in pairs.items())


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), _DIGITS)
