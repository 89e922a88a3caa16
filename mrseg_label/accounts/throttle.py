"""Throttling of password guesses: after a few failures each further attempt has to wait, longer every time.

Failures are counted per name and peer, per peer, and per name. The first limit is strict. The others are generous,
since many readers may share a peer, and nobody should be able to lock a reader out by guessing at their name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.tables import SignInAttempts
from mrseg_label.errors import TooManyRequests

FAILURES_COUNT_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class _Limit:
    free: int  # failures without a wait
    longest: int  # seconds


_LIMITS = {"name and peer": _Limit(5, 900), "peer": _Limit(50, 300), "name": _Limit(100, 30)}


def count_attempt(session: Session, moment: datetime, name: str, peer: str) -> None:
    """Count an attempt before its password is verified, so that many at once cannot get past the limit.

    Raises
    ------
    TooManyRequests
        The next attempt is not permitted yet.
    """
    _count(session, moment, {_key(what, name, peer): limit for what, limit in _LIMITS.items()}, "sign-ins")


def count_guess(session: Session, moment: datetime, peer: str) -> None:
    """Count an unknown reviewer's address that a peer tried; it blocks nobody's password.

    Raises
    ------
    TooManyRequests
        The next attempt is not permitted yet.
    """
    _count(session, moment, {_key("address", "", peer): _LIMITS["peer"]}, "attempts")


def _count(session: Session, moment: datetime, limits: Mapping[str, _Limit], what: str) -> None:
    found = rows.attempts(session, list(limits))
    waits = [row.blocked_until for row in found.values() if row.blocked_until and row.blocked_until > moment]
    if waits:
        seconds = math.ceil((max(waits) - moment).total_seconds())
        raise TooManyRequests(f"too many failed {what}; try again in {seconds} s", seconds)
    for key, limit in limits.items():
        row = found.get(key)
        if row is None:
            row = SignInAttempts(key=key, failures=0, last_at=moment)
            session.add(row)
        if moment - row.last_at > FAILURES_COUNT_FOR:
            row.failures = 0
        row.failures += 1
        row.last_at = moment
        over = row.failures - limit.free
        seconds = min(2 ** min(over, 20), limit.longest) if over >= 0 else 0
        row.blocked_until = moment + timedelta(seconds=seconds) if seconds else None


def reset(session: Session, name: str, peer: str) -> None:
    """Reset the counts of a name after a successful sign-in, and take the attempt back from the count of its peer."""
    rows.delete_attempts(session, [_key(what, name, peer) for what in ("name and peer", "name")])
    counted = rows.attempts(session, [_key("peer", name, peer)])
    for row in counted.values():
        row.failures = max(0, row.failures - 1)
        row.blocked_until = None


def _network(peer: str) -> str:
    """Return the network that a peer is counted as: an IPv6 client can use any address of its /64."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


def _key(what: str, name: str, peer: str) -> str:
    peer = _network(peer)
    parts = {"name and peer": (name, peer), "peer": (peer,), "name": (name,), "address": (peer,)}[what]
    return hashlib.sha256("\0".join((what, *parts)).encode()).hexdigest()
