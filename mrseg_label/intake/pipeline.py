"""Groups of sources to groups of prepared images: several at the same time, few ahead, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from mrseg_label.intake.assign import Source
from mrseg_label.intake.prepare import Failed, Prepared
from mrseg_label.intake.swapped import Group, Stored, with_swaps_named

Progress = Callable[[int, int], None]


def prepared_groups(
    groups: Iterable[Sequence[Source]],
    prepare_one: Callable[[Source], Prepared | Failed],
    threads: int,
    progress: Progress | None = None,
    stored: Stored | None = None,
) -> Iterator[Group]:
    """Prepare the images of each group.

    Memory and scratch space stay small: what is read ahead is a few images, whatever the number of groups.

    Parameters
    ----------
    progress : called with images done and images known of so far (exports are looked into one after the other).
    stored : see :func:`mrseg_label.intake.swapped.with_swaps_named`.
    """
    threads = max(1, threads)
    source_groups = iter(groups)
    waiting: deque[list[Future[Prepared | Failed]]] = deque()
    known = done = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="import") as pool:
        try:
            while True:
                while sum(len(group) for group in waiting) < 4 * threads:
                    sources = next(source_groups, None)
                    if sources is None:
                        break
                    known += len(sources)
                    waiting.append([pool.submit(prepare_one, source) for source in sources])
                if not waiting:
                    return
                results = [future.result() for future in waiting.popleft()]
                yield with_swaps_named(results, stored)
                done += len(results)
                if progress is not None:
                    progress(done, known)
        finally:
            for group in waiting:
                for future in group:
                    future.cancel()


def counted(groups: Sequence[Sequence[Source]], progress: Progress | None) -> Progress | None:
    """The same progress with the images of the file groups counted from the beginning."""
    if progress is None:
        return None
    total = sum(len(group) for group in groups)
    return partial(_at_least, progress, total)


def _at_least(progress: Progress, total: int, done: int, known: int) -> None:
    progress(done, max(known, total))
