"""Evaluate a folder of predictions against a folder of references, without any workspace, on several processors."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mrseg_label.errors import MrsegError
from mrseg_label.evaluation.journal import Journal
from mrseg_label.evaluation.masks import find_labels
from mrseg_label.evaluation.measurements import table_of
from mrseg_label.evaluation.pair_measuring import Comparison, Outcome, key_of, measure_pair
from mrseg_label.evaluation.pairs import Naming, Pair, find_pairs
from mrseg_label.evaluation.values import Measured
from mrseg_label.intake.options import Refused
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import available_cores
from mrseg_label.text import listed

_MAX_PROCESSES = 8  # by default; each holds two masks and their distances in memory
_IN_ONE_PROCESS = 3  # a process takes longer to start than so many cases to measure


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation.

    Attributes
    ----------
    table : with the columns of :data:`mrseg_label.evaluation.measurements.COLUMNS`.
    refused : cases that could not be measured.
    notes : what a person should know, in words.
    """

    table: pd.DataFrame
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]


def evaluate_folders(
    predictions: Path,
    references: Path,
    scheme: LabelScheme,
    naming: Naming,
    *,
    prediction_labels: Path | None = None,
    reference_labels: Path | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    processes: int | None = None,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evaluated:
    """Measure every prediction that has a reference of the same name.

    Parameters
    ----------
    prediction_labels, reference_labels : files of label lists; see :func:`mrseg_label.evaluation.masks.find_labels`.
    processes : number of processes; by default those of the machine, 8 at most.
    journal : where finished cases are kept and, of an evaluation that was cut off, taken from.
    progress : called with the number of finished cases and of all.

    Raises
    ------
    InvalidInput, LabelError
        The folders, the label lists or the table of participants cannot be used. What is wrong with a single case is in the result.
    """
    pairs = find_pairs(predictions, references, naming)
    own, own_origin = find_labels(predictions, prediction_labels, scheme)
    theirs, theirs_origin = find_labels(references, reference_labels, scheme)
    how = Comparison(scheme, own, theirs, spacing_mm)
    notes = [f"Label ids of the predictions are named by {own_origin}, those of the references by {theirs_origin}."]
    if pairs.unmatched:
        notes.append(
            f"{len(pairs.unmatched):,} predictions without a reference were left out: {listed(pairs.unmatched, 5)}."
        )
    finished: dict[Path, list[Measured]] = {}
    refused = list(pairs.refused)
    remarks: dict[str, int] = {}
    known = journal.read() if journal is not None else {}
    left = []
    for pair in pairs.found:
        key = key_of(pair, how) if known else ""
        if key in known:
            finished[pair.reference] = known[key]
        else:
            left.append(pair)
    progress(len(finished), len(pairs.found))
    for outcome in _run(left, how, processes):
        if isinstance(outcome.result, str):
            refused.append(Refused(outcome.pair.case.case, outcome.result))
        else:
            finished[outcome.pair.reference] = outcome.result
            if journal is not None:
                journal.add(key_of(outcome.pair, how), outcome.result)
        for note in outcome.notes:
            remarks[note] = remarks.get(note, 0) + 1
        progress(len(finished) + len(refused) - len(pairs.refused), len(pairs.found))
    notes += [f"{count:,} masks: {note}" for note, count in sorted(remarks.items())]
    table = table_of((pair.case, finished[pair.reference]) for pair in pairs.found if pair.reference in finished)
    return Evaluated(table, tuple(sorted(refused, key=lambda one: one.source)), tuple(notes))


def _run(pairs: Sequence[Pair], how: Comparison, processes: int | None) -> Iterator[Outcome]:
    workers = min(processes or min(available_cores(), _MAX_PROCESSES), len(pairs))
    if workers <= 1 or (processes is None and len(pairs) <= _IN_ONE_PROCESS):
        yield from (measure_pair(pair, how) for pair in pairs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        futures = [pool.submit(measure_pair, pair, how) for pair in pairs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise MrsegError(
                f"one of the {workers} processes that compare masks was killed; most often memory ran out. Run the command again with fewer --processes"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _end_with_parent() -> None:
    """End this process when the one that started it ends in whatever way; called once in each process of the pool."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
