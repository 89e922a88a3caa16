"""The tables that describe: who was judged (Table 1), how well by sequence (Table 3) and by structure (Table A1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mrseg_label.evaluation.measurements import counted, references_of
from mrseg_label.evaluation.statistics import sex_of
from mrseg_label.evaluation.tables import (
    Column,
    Table,
    count,
    frame_of,
    key_part,
    mean_sd,
    number,
    plus_minus,
    structure_name,
    value,
    whole,
    word,
)
from mrseg_label.evaluation.values import RULE, Found

ALL = "all"
UNNAMED = "unnamed"
METRICS = {"dsc": 3, "hd95_mm": 2, "nsd": 3}  # with the digits that people read
_BETWEEN = "Between samples: mean and SD over the images of each image's mean over its structures."
_CLASS_WISE = "Class-wise: mean and SD over the structures of each structure's mean over its images."
_INFINITE = "∞: structures of an image that were missed, so that they have no finite HD95, of all that count."
_WHAT_COUNTS = "What counts: see the methods."
_PROPAGATED = "Propagated: of the images in which the structure counts, those whose reference was drawn on another image of the acquisition."
_OUTCOMES = {
    "both": "Found",
    "missed": "Missed",
    "false_positive": "False positive",
    "absent": "Absent in both",
    "remnant": "Remnant",
    "not_annotated": "Not annotated",
    "not_predicted": "Not predicted",
}
SD = "Values are means ± standard deviations (n − 1)."


def composition(frame: pd.DataFrame) -> Table:
    """Make Table 1: participants, sex, age, images, sequences and stations of each data set."""
    images = frame.drop_duplicates(["data_set", "case"])
    rows = [_composition_of(name, part) for name, part in _parts(images, "data_set")]
    return Table(
        "table-1-composition",
        "Table 1",
        "Composition of the data sets",
        frame_of(rows, ("data_set", "participants", "female", "male", "sex_unknown", "age_mean", "age_sd", "age_min", "age_max",
                        "age_known", "images", "propagated", "masks", "sequences", "stations")),
        (
            word("Data set", "data_set"),
            count("Participants", "participants"),
            Column("Female / male", lambda row: _sexes(row)),
            Column("Age, years", lambda row: _ages(row)),
            count("Images", "images"),
            *_propagated(rows),
            word("Images by sequence", "sequences"),
            word("Images by station", "stations"),
        ),
        ("Age: mean ± SD (range) of the participants whose age is known.", *references_of(frame).note),
    )  # fmt: skip


def by_sequence(frame: pd.DataFrame) -> Table:
    """Make Table 3: DSC, HD95 and NSD by sequence, between samples and class-wise."""
    rows = []
    for model, of_model in _parts(frame, "model"):
        for data_set, of_set in _parts(of_model, "data_set"):
            sequences = list(_parts(of_set, "sequence"))
            if len(sequences) > 1:
                sequences.append((ALL, of_set))
            rows += [
                {"model": model, "data_set": data_set, "sequence": name, **quality(part)} for name, part in sequences
            ]
    measures = [
        f"{metric}_{way}_{what}" for metric in METRICS for way in ("samples", "classes") for what in ("mean", "sd")
    ]
    columns = [
        word("Sequence", "sequence"),
        count("Participants", "participants"),
        count("Images", "images"),
        *_propagated(rows),
        mean_sd("DSC, between samples", "dsc_samples_mean", "dsc_samples_sd", 3),
        mean_sd("DSC, class-wise", "dsc_classes_mean", "dsc_classes_sd", 3),
        mean_sd("HD95, mm, between samples", "hd95_mm_samples_mean", "hd95_mm_samples_sd", 2),
        mean_sd("HD95, mm, class-wise", "hd95_mm_classes_mean", "hd95_mm_classes_sd", 2),
        Column("∞", lambda row: f"{whole(row['infinite'])} of {whole(row['counted'])}"),
        mean_sd("NSD, between samples", "nsd_samples_mean", "nsd_samples_sd", 3),
        mean_sd("NSD, class-wise", "nsd_classes_mean", "nsd_classes_sd", 3),
    ]
    return Table(
        "table-3-sequences",
        "Table 3",
        "Quality by sequence",
        frame_of(rows, ("model", "data_set", "sequence", "participants", "images", "propagated", *measures, "counted", "infinite", "false_positives")),
        (*_names(frame, "model", "data_set"), *columns),
        (SD, _BETWEEN, _CLASS_WISE, _INFINITE, RULE, *tolerance_note(frame), *references_of(frame).note),
    )  # fmt: skip


def by_structure(frame: pd.DataFrame, model: str) -> Table:
    """Make Table A1: DSC, HD95 and NSD of each structure in each data set, of one model."""
    of_model = frame[frame["model"] == model]
    sets = list(_parts(of_model, "data_set"))
    rows, never = [], []
    judged = set(counted(of_model)["structure"])
    for structure in _in_order(of_model["structure"]):
        if structure not in judged:
            never.append(structure)
            continue
        row: dict[str, Any] = {"structure": structure}
        for name, part in sets:
            for key, found in quality_of_structure(part[part["structure"] == structure]).items():
                row[f"{name}: {key}"] = found
        rows.append(row)
    keys = ("n", "propagated", "infinite", *(f"{metric}_{what}" for metric in METRICS for what in ("mean", "sd")))
    columns: list[Column] = [structure_name()]
    for name, _ in sets:
        prefix = f"{name}: "
        shown = "" if len(sets) == 1 else prefix
        columns += [
            count(f"{shown}n", f"{prefix}n"),
            *_propagated(rows, shown, prefix),
            mean_sd(f"{shown}DSC", f"{prefix}dsc_mean", f"{prefix}dsc_sd", 3),
            mean_sd(f"{shown}HD95, mm", f"{prefix}hd95_mm_mean", f"{prefix}hd95_mm_sd", 2),
            count(f"{shown}∞", f"{prefix}infinite"),
            mean_sd(f"{shown}NSD", f"{prefix}nsd_mean", f"{prefix}nsd_sd", 3),
        ]  # fmt: skip
    several = frame["model"].nunique() > 1
    return Table(
        "table-a1-structures" + (f"-{key_part(model)}" if several else ""),
        "Table A1",
        "Quality by structure and data set" + (f", {model}" if several else ""),
        frame_of(rows, ("structure", *(f"{name}: {key}" for name, _ in sets for key in keys))),
        tuple(columns),
        (
            SD,
            "n: images in which the structure counts.",
            "∞: images in which it was missed.",
            *([_PROPAGATED] if references_of(of_model).propagated else []),
            *([f"Structures that count in no image: {', '.join(never)}."] if never else []),
            _WHAT_COUNTS,
            *tolerance_note(frame),
        ),
    )


def by_outcome(frame: pd.DataFrame) -> Table:
    """Make Table A2: where each structure was found, missed or invented, and its volumes."""
    rows = []
    for model, of_model in _parts(frame, "model"):
        for structure in _in_order(of_model["structure"]):
            part = of_model[of_model["structure"] == structure]
            there = counted(part)
            outcome = {one.name.lower(): int((part["found"] == one).sum()) for one in Found}
            error = (
                100
                * (there["prediction_ml"] - there["reference_ml"])
                / there["reference_ml"].where(there["reference_ml"] > 0)
            )
            rows.append({
                "model": model, "structure": structure, **outcome, "propagated": int((there["propagated_from"] != "").sum()),
                "reference_ml": there["reference_ml"].mean(), "prediction_ml": there["prediction_ml"].mean(),
                "error_mean": error.mean(), "error_sd": error.std(),
                "cut_by_edge": int(there["cut_by_edge"].sum()),
                "false_positive_ml": part.loc[part["found"] == Found.FALSE_POSITIVE, "prediction_ml"].sum(),
            })  # fmt: skip
    outcomes = [one.name.lower() for one in Found]
    return Table(
        "table-a2-outcomes",
        "Table A2",
        "Found, missed and invented structures, and their volumes",
        frame_of(rows, ("model", "structure", *outcomes, "propagated", "cut_by_edge", "reference_ml", "prediction_ml", "error_mean", "error_sd", "false_positive_ml")),
        (
            *_names(frame, "model"),
            structure_name(),
            *(count(_OUTCOMES[one], one) for one in outcomes if any(row[one] for row in rows)),
            *_propagated(rows),
            *([count("Cut by the edge", "cut_by_edge")] if any(row["cut_by_edge"] for row in rows) else []),
            value("Reference, ml", "reference_ml", 1),
            value("Prediction, ml", "prediction_ml", 1),
            mean_sd("Relative volume error, %", "error_mean", "error_sd", 1),
        ),
        ("Numbers of images. Cut by the edge: of those found or missed, the structure reaches the edge of the image and is measured as far as it is inside. Volumes and their errors: means over the images in which the structure counts (found or missed).",
         *([_PROPAGATED] if references_of(frame).propagated else []), _WHAT_COUNTS),
    )  # fmt: skip


def quality(frame: pd.DataFrame) -> dict[str, float]:
    """Compute mean and SD of each metric between samples and class-wise, with the counts beside them."""
    rows, references = counted(frame), references_of(frame)
    found: dict[str, float] = {
        "participants": frame.drop_duplicates(["data_set", "participant"]).shape[0],
        "images": references.images,
        "propagated": references.propagated,
        "counted": len(rows),
        "infinite": int(np.isinf(rows["hd95_mm"]).sum()),
        "false_positives": int((frame["found"] == Found.FALSE_POSITIVE).sum()),
    }
    for metric in METRICS:
        finite = rows[np.isfinite(rows[metric])]
        for way, keys in (("samples", ["data_set", "case"]), ("classes", ["structure"])):
            means = finite.groupby(keys)[metric].mean()
            found[f"{metric}_{way}_mean"], found[f"{metric}_{way}_sd"] = means.mean(), means.std()
    return found


def tolerance_note(frame: pd.DataFrame) -> tuple[str, ...]:
    """Say with which tolerances the NSD was measured."""
    known = sorted({float(one) for one in frame["tolerance_mm"].dropna()})
    if not known:
        return ()
    span = f"{known[0]:g} mm" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g} mm, by structure"
    return (f"NSD at a tolerance of {span}.",)


def quality_of_structure(part: pd.DataFrame) -> dict[str, float]:
    """Compute mean and SD of each metric of one structure over the images in which it counts."""
    rows = counted(part)
    found: dict[str, float] = {
        "n": len(rows),
        "propagated": int((rows["propagated_from"] != "").sum()),
        "infinite": int(np.isinf(rows["hd95_mm"]).sum()),
    }
    for metric in METRICS:
        finite = rows.loc[np.isfinite(rows[metric]), metric]
        found[f"{metric}_mean"], found[f"{metric}_sd"] = finite.mean(), finite.std()
    return found


def _composition_of(name: str, images: pd.DataFrame) -> dict[str, Any]:
    people = images.groupby("participant").agg(sex=("sex", "first"), age=("age", "mean"))
    sexes = people["sex"].map(sex_of)
    ages = people["age"].dropna()
    return {
        "data_set": name,
        "participants": len(people),
        "female": int((sexes == "female").sum()),
        "male": int((sexes == "male").sum()),
        "sex_unknown": int(sexes.isna().sum()),
        "age_mean": ages.mean(), "age_sd": ages.std(), "age_min": ages.min(), "age_max": ages.max(), "age_known": len(ages),
        **vars(references_of(images)),
        "sequences": _listed(images["sequence"]),
        "stations": _listed(images["station"]),
    }  # fmt: skip


def _listed(names: pd.Series) -> str:
    counts = names[names != ""].value_counts().sort_index()
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def _sexes(row: Any) -> str:
    known = f"{whole(row['female'])} / {whole(row['male'])}"
    if not row["sex_unknown"]:
        return known
    return "unknown" if row["sex_unknown"] == row["participants"] else f"{known} (unknown: {whole(row['sex_unknown'])})"


def _ages(row: Any) -> str:
    if not row["age_known"]:
        return "unknown"
    text = (
        f"{plus_minus(row['age_mean'], row['age_sd'], 1)} ({number(row['age_min'], 0)} to {number(row['age_max'], 0)})"
    )
    return text if row["age_known"] == row["participants"] else f"{text}, of {row['age_known']}"


def _names(frame: pd.DataFrame, *names: str) -> tuple[Column, ...]:
    """Make columns of what has several values; a column that says the same in every row is left out."""
    headings = {"model": "Model", "data_set": "Data set"}
    return tuple(word(headings[name], name) for name in names if frame[name].nunique() > 1)


def _propagated(rows: Sequence[Mapping[str, Any]], shown: str = "", prefix: str = "") -> tuple[Column, ...]:
    """Make the column of how many images have a propagated reference; it is left out where none has."""
    name = f"{prefix}propagated"
    return (count(f"{shown}Propagated", name),) if any(row.get(name) for row in rows) else ()


def _parts(frame: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Divide a frame by the values of a column, in the order in which they occur for models, else sorted."""
    values = _in_order(frame[column]) if column == "model" else sorted(frame[column].unique())
    for one in values:
        yield one or UNNAMED, frame[frame[column] == one]


def _in_order(names: pd.Series) -> list[str]:
    return [str(name) for name in names.unique()]
