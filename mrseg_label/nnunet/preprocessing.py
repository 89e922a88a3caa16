"""Preprocess cases with nnU-Net's own preprocessor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from mrseg_label.errors import MrsegError
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
Argument = TypeVar("Argument")
Result = TypeVar("Result")


def preprocess_cases(
    cases: Sequence[str], folders: NnunetFolders, dataset: RawDataset, profile: TrainingProfile, scratch: Path
) -> Iterable[tuple[str, str | None]]:
    """Preprocess cases into ``scratch``; yields the id of each when it is done, and why it failed if it did."""
    plans_file = folders.preprocessed / dataset.name / f"{PLANS}.json"
    arguments = [(str(plans_file), str(dataset.folder), case, str(scratch / case)) for case in cases]
    workers = min(available_cores(), len(cases), 8)
    if profile.process_pools and workers > 1:
        yield from in_processes(_preprocess_case, arguments, workers)
    else:
        yield from map(_preprocess_case, arguments)


def in_processes(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], workers: int
) -> Iterator[Result]:
    """Call a function in processes of their own; yields the results as they come.

    A pool of ``multiprocessing`` would wait for ever for what a killed process had begun.

    Raises
    ------
    MrsegError
        A process was killed.
    """
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(function, argument) for argument in arguments]):
                yield future.result()
        except BrokenProcessPool as error:
            raise MrsegError(
                f"one of the {workers} processes that preprocess images was killed; most often memory ran out. See the log "
                "of the system, and give this machine more memory or fewer cores"
            ) from error


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
