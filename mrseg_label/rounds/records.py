"""What a model version records of its round: how it was trained, and the card of its data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Round
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.environment import NnunetFolders, find_configuration_folder
from mrseg_label.nnunet.run import TrainingReport
from mrseg_label.presegmentation.known_structures import LABELS_KEY
from mrseg_label.registry.layout import CARD_FILE, CARD_TEXT_FILE
from mrseg_label.registry.lineage import FIRST_WEIGHTS_KEY
from mrseg_label.rounds.card import card_text, make_card
from mrseg_label.rounds.doubts import DOUBTS_KEY, count_doubts
from mrseg_label.rounds.filling import FILLED_KEY
from mrseg_label.rounds.training import dataset_name


def training_record(row: Round, report: TrainingReport, seconds: float) -> dict[str, Any]:
    """Describe how a version was trained, as JSON.

    Parameters
    ----------
    seconds : that the round took, in its last attempt.
    """
    return {
        "profile": row.profile,
        "final": row.final,
        "pretrained": row.pretrain,
        "settings": report.settings,
        "seed": report.seed,
        "programs": report.versions,
        "machines": list(report.machines),
        "seconds": report.seconds | {"round": round(seconds, 1)},
        "cpu_seconds": report.cpu_seconds,
        FIRST_WEIGHTS_KEY: row.result.get(FIRST_WEIGHTS_KEY),
    }


def write_card(workspace: OpenedWorkspace, row: Round, report: TrainingReport, model_folder: Path) -> dict[str, Any]:
    """Make the card of a round's data set, and put it beside the model's ``plans.json``, with which it is exported."""
    dataset = RawDataset.open(NnunetFolders.under(workspace.nnunet).raw / dataset_name(row.number))
    trained_on = {case["case_id"] for case in dataset.cases}.difference(report.left_out)
    filled = row.result.get(LABELS_KEY, {}).get(FILLED_KEY, {})
    with workspace.catalog.read() as session:
        card = make_card(session, row, workspace.scheme, trained_on, filled)
    card[FIRST_WEIGHTS_KEY] = row.result.get(FIRST_WEIGHTS_KEY)  # so that the licences of these leave with the model
    if DOUBTS_KEY in row.result:
        card[DOUBTS_KEY] = count_doubts(row.result[DOUBTS_KEY])
    folder = find_configuration_folder(model_folder)
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
    (folder / CARD_TEXT_FILE).write_text(card_text(card, f"r{row.number}"), encoding="utf-8")
    return card
