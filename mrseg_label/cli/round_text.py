"""What the commands for rounds say about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrseg_label.reports.documents.rounds import FoldOut, RoundDetail, RoundOut

# Values of a round that are only there where they were set, and what they are called.
_AUGMENTATION = {
    "mirror_left_right": "left-right mirroring",
    "inversion": "inversion",
    "gamma": "gamma",
    "small_structure_exponent": "small structures",
}


def step_text(document: RoundOut) -> str:
    """Say where a round is, such as ``round 3: training, fold 0, epoch 12 of 50``."""
    progress = document.progress
    parts = [f"round {document.number}: {document.state}"]
    if document.state == "queued":
        parts.append("a worker of mrseg-label serve begins it")
    elif document.state == "training":
        parts += [f"fold {progress['fold']}"] if progress.get("fold") is not None else []
        parts += [f"{progress['folds_done']} of {progress['folds']} folds"] if "folds_done" in progress else []
        parts += _training_values(progress)
    elif progress.get("cases"):
        parts.append(f"{progress['cases']} cases")
    return ", ".join(parts)


def kind_text(document: RoundDetail) -> str:
    """Say how a round trains."""
    parts = [str(document.profile)]
    parts += ["final"] if document.final else []
    parts += [f"{len(document.folds)} folds"] if len(document.folds) > 1 else []
    parts += ["with the held-out participants"] if document.include_held_out else []
    parts += ["pretraining on drafts"] if document.pretrain else []
    return ", ".join(parts)


def training_text(document: RoundOut) -> str:
    """Say how long and with which values a round trains; empty for a round of version 0.1."""
    values = document.training
    if not values:
        return ""
    spacing = values["target_spacing_mm"]
    if spacing is None:
        grid = "spacing by nnU-Net's planner"
    else:
        grid = " x ".join(f"{mm:g}" for mm in (spacing if isinstance(spacing, list) else [spacing])) + " mm"
    augmentation = "".join(
        f", {name} {_on_or_off(values[key])}" for key, name in _AUGMENTATION.items() if values.get(key) is not None
    )
    return (
        f"{values['kind']}: {values['epochs']} epochs of {values['iterations_per_epoch']} iterations, learning rate "
        f"{values['peak_learning_rate']:g}, {grid}, seed {values['seed']}{augmentation}"
    )


def _on_or_off(value: bool | float) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else f"{value:g}"


def fold_text(item: FoldOut) -> str:
    """Say how far a fold is, such as ``running, epoch 12 of 50, pseudo-Dice 0.831, 1 h 37 min left``."""
    progress = item.progress
    parts = [str(item.state), *_training_values(progress, left=item.state == "running")]
    if item.result.get("mean_dsc") is not None:
        parts.append(
            f"mean DSC {item.result['mean_dsc']:.3f} on {item.result['unseen_cases']} cases that it has not seen"
        )
    return ", ".join(parts) + (f"; {item.error.strip().splitlines()[-1]}" if item.error else "")


def _training_values(progress: Mapping[str, Any], *, left: bool = True) -> list[str]:
    from mrseg_label.text import duration

    parts = [f"epoch {progress.get('epoch', 0)} of {progress['epochs']}"] if progress.get("epochs") else []
    for name, shown in (("loss", "loss"), ("pseudo_dice", "pseudo-Dice")):
        if progress.get(name) is not None:
            parts.append(f"{shown} {progress[name]:.3f}")
    if left and progress.get("seconds_left"):
        parts.append(f"{duration(progress['seconds_left'])} left")
    return parts


def outcome_text(document: RoundOut) -> str:
    """Say how a round ended."""
    if document.state != "done":
        reason = (document.error or "").strip().rpartition("\n")[2]
        retry = f"mrseg-label rounds retry {document.number}"
        again = "" if retry in reason else f". Try again with: {retry}"
        return f"Round {document.number}: {document.state}{': ' if reason else ''}{reason}{again}"
    verdict = "makes the drafts now" if document.result.get("promoted") else "was not promoted"
    why = f" ({document.result['reason']})" if document.result.get("reason") else ""
    missing = ", ".join(document.result.get("failed_folds") or ())
    again = f" Fold {missing} failed; train it with: mrseg-label rounds retry {document.number}" if missing else ""
    return f"Round {document.number} is done. {document.model_version} {verdict}{why}.{again}"


def model_text(version: str | None, promoted: object) -> str | None:
    return f"{version} (not promoted)" if version and promoted is False else version
