"""The names of this machine itself.

A module of its own: whoever starts the server needs them before anything is imported that counts requests.
"""

from __future__ import annotations

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
