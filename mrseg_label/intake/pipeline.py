"""Prepare groups of images: several at the same time, a few ahead, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mrseg_label.intake.images import NamedImage, PreparedGroup, PreparedImage, RefusedImage

Progress = Callable[[int, int], None]


def prepare_groups(
    groups: Iterable[Sequence[NamedImage]],
    prepare_one: Callable[[NamedImage], PreparedImage | RefusedImage],
    threads: int,
    progress: Progress | None = None,
    total: int = 0,
) -> Iterator[PreparedGroup]:
    """Prepare the images of each group.

    Memory and scratch space stay small: only a few images are prepared ahead, whatever the number of groups.

    Parameters
    ----------
    threads : number of images prepared at the same time.
    progress : called with the number of images done and the number of images known so far.
    total : number of images known from the beginning (those of DICOM exports are found one export after the other).
    """
    threads = max(1, threads)
    remaining = iter(groups)
    waiting: deque[list[Future[PreparedImage | RefusedImage]]] = deque()
    known = done = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="import") as pool:
        try:
            while True:
                while sum(len(group) for group in waiting) < 4 * threads:
                    images = next(remaining, None)
                    if images is None:
                        break
                    known += len(images)
                    waiting.append([pool.submit(prepare_one, image) for image in images])
                if not waiting:
                    return
                results = [future.result() for future in waiting.popleft()]
                yield results
                done += len(results)
                if progress is not None:
                    progress(done, max(known, total))
        finally:
            for group in waiting:
                for future in group:
                    future.cancel()
