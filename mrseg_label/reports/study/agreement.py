"""The tables of how far readers agree."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.evaluation.tables import Table, count, frame_of, mean_sd, structure_name, value, word
from mrseg_label.reports.agreement import read_agreement


def agreement_tables(workspace: OpenedWorkspace) -> list[Table]:
    """Make the tables of agreement by structure and by pair of readers; none where no case has two independent readings."""
    document = read_agreement(workspace)
    if not document.cases:
        return []
    structures = [{"structure": name, **one.model_dump()} for name, one in document.overall.structures.items()]
    pairs = [
        {"readers": f"{one.first}, {one.second}", **one.model_dump(exclude={"structures"})} for one in document.readers
    ]
    return [
        Table(
            "table-a6-agreement",
            "Table A6",
            "Agreement between independent readings, by structure",
            frame_of(
                structures,
                (
                    "structure",
                    "cases",
                    "dsc",
                    "dsc_sd",
                    "hd95_mm",
                    "hd95_sd_mm",
                    "hd95_cases",
                    "hd95_infinite",
                    "nsd",
                    "nsd_sd",
                ),
            ),
            (
                structure_name(),
                count("Cases", "cases"),
                mean_sd("DSC", "dsc", "dsc_sd", 3),
                mean_sd("HD95, mm", "hd95_mm", "hd95_sd_mm", 2),
                count("Cases with HD95", "hd95_cases"),
                count("∞", "hd95_infinite"),
                mean_sd("NSD", "nsd", "nsd_sd", 3),
            ),
            (
                "Means ± standard deviations over the cases. ∞: cases in which only one of the two readers drew the structure.",
                document.rule,
            ),
        ),
        Table(
            "table-a7-readers",
            "Table A7",
            "Agreement between independent readings, by pair of readers",
            frame_of(pairs, ("readers", "cases", "mean_dsc", "same_draft")),
            (
                word("Readers", "readers"),
                count("Cases", "cases"),
                value("Mean DSC", "mean_dsc", 3),
                count("From the same draft", "same_draft"),
            ),
            ("Two readings that began as the same draft agree better than their readers do.",),
        ),
    ]
