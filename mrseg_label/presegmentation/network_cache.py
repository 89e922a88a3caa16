"""Networks that stay loaded from draft to draft, as many as their memory allows. Imports no torch by itself."""

from __future__ import annotations

import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

log = logging.getLogger("mrseg_label.presegmentation")

# The rest is for the images, what is computed from them, and other programs.
SHARE = 0.25
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class NetworkCache:
    """Loaded networks by key. Beyond the limit, those are dropped that have not been used for longest.

    The network that was asked for last always stays, however large it is.

    Parameters
    ----------
    limit_bytes : called for the limit each time that a network has been loaded.
    """

    def __init__(self, limit_bytes: Callable[[], int]) -> None:
        self._limit_bytes = limit_bytes
        self._loaded: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._loaded

    @property
    def size_bytes(self) -> int:
        """Memory that the weights of all loaded networks take, bytes."""
        return sum(size for _, size in self._loaded.values())

    def get(self, key: Hashable, load: Callable[[], Any], size_bytes: Callable[[Any], int]) -> Any:
        """Return a loaded network, which is loaded first if it is not there.

        Parameters
        ----------
        size_bytes : measures the network when it has been loaded.
        """
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key][0]
        value = load()
        self._loaded[key] = (value, size_bytes(value))
        limit = self._limit_bytes()
        while len(self._loaded) > 1 and self.size_bytes > limit:
            dropped, (_, size) = self._loaded.popitem(last=False)
            log.info("dropped the network %s (%.0f MB) for others", dropped, size / 1e6)
        log.info("%d networks are loaded: %.0f of at most %.0f MB", len(self), self.size_bytes / 1e6, limit / 1e6)
        return value

    def clear(self) -> None:
        """Drop all networks."""
        self._loaded.clear()


def limit_on(device: str) -> int:
    """Memory that loaded networks may take on a device, bytes: a quarter of what the GPU or the machine has.

    Parameters
    ----------
    device : as DEVICE names it.
    """
    torch = sys.modules.get("torch")
    if device != "cpu" and torch is not None and torch.cuda.is_available():
        from mrseg_label.nnunet.devices import find_device

        where, _ = find_device(device)
        if where.type == "cuda":
            return int(SHARE * torch.cuda.get_device_properties(where).total_memory)
    return int(SHARE * _host_bytes())


def _host_bytes() -> int:
    """Memory of this machine, or of the container that this process runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
