"""A batch: several readers at once until enough cases are corrected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mrseg_label.errors import Conflict
from mrseg_label.labels import LabelScheme
from mrseg_label.simulation.radiologist import CaseResult, Radiologist, TruthFile

READERS = ("reader-ada", "reader-ben")
DoneCase = Callable[[int, CaseResult], None]


class _Quota:
    """Hands out the right to start a case, to threads, a given number of times or until something failed."""

    def __init__(self, cases: int) -> None:
        self._left = cases
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def stop(self) -> None:
        with self._lock:
            self._left = 0


def work_batch(
    server: str,
    cases: int,
    truths: Mapping[str, TruthFile],
    scheme: LabelScheme,
    seed: int,
    done: DoneCase | None = None,
    readers: Sequence[str] = READERS,
    abort: Callable[[], None] | None = None,
) -> list[CaseResult]:
    """Let readers correct ``cases`` cases, all at the same time.

    Parameters
    ----------
    done : called after each case with the number done and the case.
    abort : called where the batch fails or is interrupted, to end what readers may be waiting for.

    Returns
    -------
    The cases in the order of their submission.

    Raises
    ------
    Conflict
        The server ran out of cases before.
    """
    quota = _Quota(cases)
    results: list[CaseResult] = []
    lock = threading.Lock()

    def note(result: CaseResult) -> None:
        with lock:
            results.append(result)
            if done is not None:
                done(len(results), result)

    def read(name: str) -> None:
        reader = Radiologist(name, server, truths, scheme, seed)
        try:
            reader.work(quota.take, note)
        except BaseException:
            quota.stop()  # the others finish their case, and no new one is begun
            raise
        finally:
            reader.close()

    with ThreadPoolExecutor(len(readers), thread_name_prefix="reader") as pool:
        try:
            for future in [pool.submit(read, name) for name in readers]:
                future.result()
        except BaseException:
            quota.stop()
            if abort is not None:
                abort()
            raise
    if len(results) < cases:
        raise Conflict(f"the server handed out {len(results)} of {cases} cases and then had none left")
    return results
