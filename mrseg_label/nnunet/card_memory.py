"""Whether the memory of a GPU has room for one more draft beside those of other processes. Loads no torch by itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class CardMemory:
    """The memory of a GPU as this process sees it, bytes.

    Attributes
    ----------
    free : that no process holds.
    held : that this process holds, whether it uses it at present or not.
    peak : that this process has held at most, with what was given back since.
    """

    free: int
    held: int
    peak: int

    @property
    def has_room(self) -> bool:
        """Whether this process can reach its peak again, which is the best guess at what its next draft needs."""
        return self.free + self.held >= self.peak


def card_memory(number: int) -> CardMemory | None:
    """Measure the memory of ``cuda:<number>``; None where this process has not used a GPU, so that nothing is known."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, _ = torch.cuda.mem_get_info(number)
    return CardMemory(free, torch.cuda.memory_reserved(number), torch.cuda.max_memory_reserved(number))
