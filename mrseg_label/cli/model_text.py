"""Model versions in words, for ``models show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mrseg_label.cli.comparisons import describe_comparison

if TYPE_CHECKING:
    from mrseg_label.reports.documents.models import ModelDetail


def model_fields(document: ModelDetail) -> list[tuple[str, object]]:
    """What is known of a version, one line each: its lineage, digests, conventions and DSC per structure."""
    fields: list[tuple[str, object]] = [
        ("version", document.version),
        ("status", document.status),
        ("round", document.round),
        ("parent", document.parent),
        ("created", document.created),
        ("promoted", document.promoted),
        ("tried", document.tried),
        ("problem", document.problem),
        ("data set", document.dataset_digest),
        ("weights", document.weights_digest),
        ("licences", ", ".join(document.licences) or None),
        ("orientation", document.orientation),
        ("labels", document.labels_from),
        *((f"label {label}", structure or "left out") for label, structure in document.labels.items()),
        *_record_fields(document.record),
        *_fold_fields(document.metrics),
        ("mean DSC", document.metrics.get("mean_dsc")),
        ("held-out cases", document.metrics.get("held_out_cases")),
        ("rule", document.metrics.get("rule")),
        ("compared", describe_comparison(document.metrics.get("comparison"))),
    ]
    cases = document.metrics.get("cases") or {}
    fields += [
        (f"DSC {name}", value if value is None or name not in cases else f"{value:.3f} ({cases[name]} cases)")
        for name, value in (document.metrics.get("dsc") or {}).items()
    ]
    fields += [
        (f"not there {name}", _false_positives(found["cases"], found["ml"]))
        for name, found in (document.metrics.get("false_positives") or {}).items()
    ]
    return fields


def _fold_fields(metrics: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Say what the networks of an ensemble cost, and what its cross-validation measured."""
    folds = metrics.get("folds") or []
    if len(folds) < 2:
        return []
    cost = f"{len(folds)}: a draft takes about {len(folds)} times as long as with one"
    best = metrics.get("best_fold")
    fields: list[tuple[str, object]] = [
        ("networks", cost if best is None else f'{cost}; with ENSEMBLE_DRAFTS = "best" fold {best} makes drafts alone')
    ]
    validation = metrics.get("cross_validation") or {}
    if validation.get("mean_dsc") is not None:
        fields.append(
            (
                "cross-validation",
                f"mean DSC {validation['mean_dsc']:.3f} of {validation['cases']} cases, each by the fold that has not seen it",
            )
        )
        counted = validation.get("cases_by_structure") or {}
        fields += [
            (f"cross-validated {name}", f"{value:.3f} ({counted.get(name)} cases)")
            for name, value in (validation.get("dsc") or {}).items()
            if value is not None
        ]
    return fields


def _record_fields(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """How a version was trained, one line each; nothing for versions without a record."""
    if not record.get("programs"):
        return []
    programs, seconds = record["programs"], record.get("seconds") or {}
    settings = record.get("settings") or {}
    first = (record.get("first_weights") or {}).get("source")
    return [
        ("first weights", first),
        (
            "trained",
            f"{settings.get('epochs')} epochs of {settings.get('iterations_per_epoch')} iterations, profile {record.get('profile')}",
        ),
        ("seed", record.get("seed")),
        ("hardware", "; ".join(_hardware(machine) for machine in record.get("machines") or ())),
        (
            "programs",
            ", ".join(f"{name} {programs[name]}" for name in ("mrseg-label", "nnunetv2", "torch") if name in programs),
        ),
        ("code", programs.get("code_sha256")),
        ("seconds", ", ".join(f"{stage} {value}" for stage, value in seconds.items())),
    ]


def _hardware(machine: Mapping[str, Any]) -> str:
    """The GPU of a machine, or its processor, with the memory."""
    processor = machine.get("gpu") or f"{machine.get('processor')}, {machine.get('cores')} cores"
    return f"{processor}, {machine.get('memory_gb')} GB"


def _false_positives(cases: int, ml: float | None) -> str:
    return f"found in {cases} cases" + ("" if ml is None else f", {ml:.1f} ml")
