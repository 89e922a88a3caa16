"""What is called before a network gets each patch of an image, so that a prediction can be ended, or known to hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_call: Callable[[], None] | None = None


@contextmanager
def before_each_patch(call: Callable[[], None]) -> Iterator[None]:
    """Call a function before each patch that a network of this process gets in this block; it may raise to end it."""
    global _call
    before, _call = _call, call
    try:
        yield
    finally:
        _call = before


def beat_in(network: Any) -> None:
    """Let a network call that function whenever it gets a patch."""
    network.register_forward_pre_hook(_beat)


def _beat(*_: Any) -> None:
    if _call is not None:
        _call()
