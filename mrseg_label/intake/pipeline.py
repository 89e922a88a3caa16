"""Groups of sources to groups of prepared images: several at the same time, few ahead, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product

from mrseg_label.errors import MrsegError
from mrseg_label.imaging import load_image
from mrseg_label.intake.assign import Source
from mrseg_label.intake.prepare import Failed, Prepared

Progress = Callable[[int, int], None]
Group = list[Prepared | Failed]


def prepared_groups(
    groups: Iterable[Sequence[Source]],
    prepare_one: Callable[[Source], Prepared | Failed],
    threads: int,
    progress: Progress | None = None,
) -> Iterator[Group]:
    """Prepare the images of each group.

    Memory and scratch space stay small: what is read ahead is a few images, whatever the number of groups.

    Parameters
    ----------
    progress : called with images done and images known of so far (exports are looked into one after the other).
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
                yield with_swaps_named(results)
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


def with_swaps_named(group: Group) -> Group:
    """Say in the fat and water images of a scan where the two look exchanged."""
    warnings: dict[int, str] = {}
    for (w, water), (f, fat) in product(_channels(group, "water"), _channels(group, "fat")):
        parts = _exchanged(fat, water)
        if parts:
            warnings[w] = warnings[f] = (
                f"fat and water look exchanged ({', '.join(parts)}): the rim of the body is bright in the water image"
            )
    return [
        replace(image, warnings=(*image.warnings, warnings[index]))
        if index in warnings and isinstance(image, Prepared)
        else image
        for index, image in enumerate(group)
    ]


def _channels(group: Group, sequence: str) -> list[tuple[int, Prepared]]:
    return [
        (index, image)
        for index, image in enumerate(group)
        if isinstance(image, Prepared) and image.file is not None and image.source.sequence == sequence
    ]


def _exchanged(fat: Prepared, water: Prepared) -> list[str]:
    one, other = fat.source, water.source
    if (one.session, one.station) != (other.session, other.station) or fat.file is None or water.file is None:
        return []
    try:
        by_fat, geometry, _ = load_image(fat.file)
        by_water, grid, _ = load_image(water.file)
    except MrsegError:
        return []  # it was read a moment ago; what is wrong with it is found where it matters
    from mrseg_label.imaging.swaps import swapped_parts  # SciPy behind it: not in every server that starts

    return swapped_parts(by_fat, by_water, geometry) if geometry.matches(grid) else []
