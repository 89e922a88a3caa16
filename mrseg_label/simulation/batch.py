"""A batch of cases, corrected by several simulated readers at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mrseg_label.errors import Conflict
from mrseg_label.labels import LabelScheme
from mrseg_label.simulation.radiologist import CaseResult, Radiologist, TruthFile

READERS = ("reader-ada", "reader-ben")
OnCase = Callable[[int, CaseResult], None]


class _Quota:
    """The number of cases that may still be started, shared by the threads of the readers."""

    def __init__(self, cases: int) -> None:
        self._left = cases
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one case from the quota; False if none is left."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def stop(self) -> None:
        """Allow no further case, because a reader failed."""
        with self._lock:
            self._left = 0


def correct_batch(
    server: str,
    cases: int,
    truths: Mapping[str, TruthFile],
    scheme: LabelScheme,
    seed: int,
    on_case: OnCase | None = None,
    readers: Sequence[str] = READERS,
    abort: Callable[[], None] | None = None,
) -> list[CaseResult]:
    """Let simulated readers correct a number of cases, all at the same time.

    Parameters
    ----------
    server : address of the server.
    truths : truth by examination id.
    on_case : called after each case with the number of cases done and the case.
    abort : called if the batch fails or is interrupted, to end requests that readers may be waiting for.

    Returns
    -------
    The cases in the order in which they were submitted.

    Raises
    ------
    Conflict
        The server had fewer cases to assign.
    """
    quota = _Quota(cases)
    results: list[CaseResult] = []
    lock = threading.Lock()

    def record(result: CaseResult) -> None:
        with lock:
            results.append(result)
            if on_case is not None:
                on_case(len(results), result)

    def read(name: str) -> None:
        reader = Radiologist(name, server, truths, scheme, seed)
        try:
            reader.correct_cases(quota.take, record)
        except BaseException:
            quota.stop()  # the other readers finish their case and start no new one
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
        raise Conflict(f"the server assigned only {len(results)} of {cases} cases and then had none left")
    return results
