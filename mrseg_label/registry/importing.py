"""Import a model that nnU-Net or another workspace exported, and try it before it can be promoted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import LOCAL
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.licences import check_licence
from mrseg_label.nnunet.conventions import ModelConventions, require_orientation, stated_conventions
from mrseg_label.registry import service, trials
from mrseg_label.registry.archive import read_archive
from mrseg_label.registry.flat_layout import complete_layout, copy_model
from mrseg_label.registry.label_names import match_labels
from mrseg_label.registry.layout import TrainedModel, check_channels, read_card, read_model, tree_digest
from mrseg_label.registry.lineage import FIRST_WEIGHTS_KEY

MAX_LABEL_ID = 255  # what nnU-Net predicts in uint8


def import_zip(
    workspace: OpenedWorkspace,
    file: Path,
    *,
    actor: str = LOCAL,
    orientation: str | None = None,
    labels: Mapping[str, str] | None = None,
    licence: str | None = None,
    enqueue_trial: bool = False,
) -> ModelVersion:
    """Register a trained nnU-Net, or a model of another workspace, as a candidate that :func:`mrseg_label.registry.trials.try_version` tries.

    Its checkpoints are Python pickles, and loading one runs the code in it. Only an admin may import a model, and
    only from a source that is trusted like a program.

    Parameters
    ----------
    file : a zip, or a folder, in nnU-Net's layout or with ``plans.json`` at its root or in ``base``.
    orientation : axis codes of the images that it was trained on; needed where its reader takes files as they lie and
        the archive does not say it.
    labels : structure by label of the model, from :func:`mrseg_label.registry.label_names.read_label_map`, for labels
        that are not named as structures of the scheme are.
    licence : under which its source gives the weights away; a round that starts from them heeds it.
    enqueue_trial : have a worker try it, in the transaction that registers it.

    Raises
    ------
    InvalidInput
        The file is not an archive of one trained model, the model needs several channels, a label of it means no
        structure, nobody says in which orientation it was trained, or the text is no licence.
    Conflict
        The same model is registered already.
    """
    if not file.exists():
        raise InvalidInput(f"{file} does not exist; give the zip that was exported, or the folder of a trained nnU-Net")
    with workspace.scratch("import-") as folder:
        unpacked = folder / "model"
        unpacked.mkdir()
        if file.is_dir():
            copy_model(file.resolve(), unpacked)
        else:
            read_archive(file, unpacked)
        complete_layout(unpacked)
        model = read_model(unpacked)
        conventions = conventions_of(model, workspace.scheme, orientation, labels or {})
        conventions.write(model.folder)
        card = read_card(model)
        digest = tree_digest(unpacked)
        with workspace.catalog.read() as session:
            same = models.with_weights(session, digest)
        if same is not None:
            raise Conflict(f"{file.name} holds the same weights as model version {same.version}; nothing was imported")
        version = f"{service.IMPORTED}{digest[:12]}"
        stored = service.store_files(workspace, version, unpacked)
    with workspace.catalog.begin() as session:
        row = service.register(
            session,
            version,
            stored,
            actor=actor,
            tried=False,
            metrics={"folds": _fold_numbers(workspace, version)},
            licence=check_licence(licence) if licence is not None else None,
            record=_lineage(card),
            card=card,
        )
        if enqueue_trial:
            trials.enqueue_trial(session, workspace.settings, version, actor=actor)
        return row


def _fold_numbers(workspace: OpenedWorkspace, version: str) -> list[int | str]:
    """The folds of a stored version, as those of a round are stated."""
    names = (name.removeprefix("fold_") for name in read_model(workspace.path(f"models/{version}")).folds)
    return [int(name) if name.isdigit() else name for name in names]


def _lineage(card: dict[str, Any]) -> dict[str, Any]:
    """What a card says of the weights that the training of its model started from."""
    first_weights = card.get(FIRST_WEIGHTS_KEY)
    licences = first_weights.get("licences") if isinstance(first_weights, dict) else None
    if not isinstance(licences, list) or not all(isinstance(licence, str) for licence in licences):
        return {}
    return {FIRST_WEIGHTS_KEY: first_weights}


def conventions_of(
    model: TrainedModel, scheme: LabelScheme, orientation: str | None, labels: Mapping[str, str]
) -> ModelConventions:
    """Find out what a model expects of its images, and what its labels mean in a scheme.

    Raises
    ------
    InvalidInput
        It needs several channels, a label means no structure, or its orientation is not known.
    """
    check_channels(model)
    numbers = sorted(model.label_names.values())
    if not numbers or len(set(numbers)) < len(numbers) or numbers[0] < 1 or numbers[-1] > MAX_LABEL_ID:
        raise InvalidInput(
            f"dataset.json of the model must give each label a number of its own from 1 to {MAX_LABEL_ID}; export the "
            "model again"
        )
    stated = stated_conventions(model.folder)
    return ModelConventions(
        require_orientation(model.folder, orientation or stated.get("orientation")),
        match_labels(model.label_names, scheme, labels, stated.get("structures") or {}),
    )
