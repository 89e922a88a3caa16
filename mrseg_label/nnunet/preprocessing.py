"""Preprocess cases with nnU-Net's own preprocessor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.environment import (
    CONFIGURATION,
    FILE_ENDING,
    PLANS,
    NnunetFolders,
    available_cores,
    log,
    quiet,
)
from mrseg_label.nnunet.left_out import OUT_OF_MEMORY
from mrseg_label.nnunet.profiles import TrainingProfile

_REASON_LENGTH = 300


def preprocess_cases(
    cases: Sequence[str], folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile, scratch: Path
) -> Iterable[tuple[str, str | None]]:
    """Preprocess cases into ``scratch``; yields the id of each when it is done, and why it failed if it did."""
    plans_file = folders.preprocessed / dataset.name / f"{PLANS}.json"
    arguments = [(str(plans_file), str(dataset.folder), case, str(scratch / case)) for case in cases]
    workers = min(available_cores(), len(cases), 8)
    if profile.process_pools and workers > 1:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            yield from pool.imap_unordered(_preprocess_case, arguments)
    else:
        yield from map(_preprocess_case, arguments)


def _preprocess_case(arguments: tuple[str, str, str, str]) -> tuple[str, str | None]:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans_file, raw, case, output = arguments
    plans = PlansManager(plans_file)
    configuration = plans.get_configuration(CONFIGURATION)
    image, label = f"{raw}/imagesTr/{case}_0000{FILE_ENDING}", f"{raw}/labelsTr/{case}{FILE_ENDING}"
    try:
        with quiet():
            configuration.preprocessor_class(verbose=False).run_case_save(
                output, [image], label, plans, configuration, f"{raw}/dataset.json"
            )
    except (MemoryError, OSError):
        raise  # of the machine, and not of the case
    except Exception as error:
        if any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        log.warning("case %s cannot be preprocessed and is left out", case, exc_info=True)
        return case, f"nnU-Net cannot preprocess it: {str(error)[:_REASON_LENGTH] or repr(error)}"
    return case, None
