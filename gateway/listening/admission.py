"""Connections that have not identified yet: bounds on their number, per address too, and on the bytes kept of them.

At a bound, the oldest connection that has not identified is cut to make room; the newcomer is never refused. A serious
client identifies within moments, so the oldest are those that wait for nothing. One address alone cannot fill the bound
of all. The protocols of a port report what happens here, and are told here which connection to cut.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

from fanfare.constants import HEAD_BYTES, HEADS_BYTES, INVALID_TOKENS_WINDOW_S, SPARE_DESCRIPTORS
from fanfare.settings import Settings
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway import metrics

__all__ = ["Admission", "Bounds", "Guest", "Room", "Seldom", "admission_of", "bucket"]

_PROXY: Final = "proxy"
"""Stands for the address of a client that a trusted proxy has not told yet."""
# Addresses whose invalid tokens are counted; the oldest is forgotten.
_KNOWN: Final = 10_000
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 600.0

Network = IPv4Network | IPv6Network


class Guest(Protocol):
    """A connection that has not identified."""

    def cut(self) -> None:
        """Drop the connection at once."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one port. 0 turns a bound off."""

    in_all: int
    per_address: int
    invalid_tokens: int
    """That an address may send in `INVALID_TOKENS_WINDOW_S`."""
    proxies: tuple[Network, ...] = ()
    """Whose X-Forwarded-For is believed."""


class Seldom:
    """Whether to log something that happens again and again: yes, at growing intervals."""

    def __init__(self) -> None:
        self._next = 0.0
        self._pause_s = _FIRST_S

    def now(self, now: float) -> bool:
        """Whether to say it at this time, seconds of a steady clock."""
        if now < self._next:
            return False
        # After a long quiet the next time counts as the first.
        self._pause_s = _FIRST_S if now > self._next + _LONGEST_S else min(2 * self._pause_s, _LONGEST_S)
        self._next = now + self._pause_s
        return True


class Room:
    """The descriptors of the process that connections may take; the rest is for the stores and for files."""

    def __init__(self, descriptors: int) -> None:
        """Args: descriptors: the limit of the process."""
        self.most = max(descriptors - SPARE_DESCRIPTORS, descriptors // 2)
        self.used = 0

    @property
    def full(self) -> bool:
        """Whether more is used than may be."""
        return self.used > self.most


class Admission:
    """The guests of one port."""

    def __init__(self, port: str, bounds: Bounds, room: Room, say: Callable[[str], None]) -> None:
        """Args: port: for metrics. say: called with the reason each time that a guest is cut."""
        self._port = port
        self._bounds = bounds
        self._room = room
        self._say = say
        # In the order in which they came.
        self._guests: dict[Guest, str] = {}
        self._of: dict[str, dict[Guest, None]] = {}
        # The bytes that are kept of guests that have sent a part of a request.
        self._heads: dict[Guest, int] = {}
        self._bytes = 0
        self._invalid: dict[str, tuple[float, int]] = {}
        metrics.UNIDENTIFIED.labels(port).set_function(lambda: len(self._guests))

    def enter(self, guest: Guest, address: str, now: float) -> None:
        """A guest has connected. May cut others, and the newcomer too."""
        self._room.used += 1
        self._place(guest, _PROXY if self._trusted(address) else bucket(address), now)

    def named(self, guest: Guest, forwarded: str, now: float) -> None:
        """What X-Forwarded-For says; only that of a trusted proxy counts. May cut the guest."""
        if self._guests.get(guest) is not _PROXY:
            return
        for address in reversed(forwarded.split(",")):
            key = bucket(address.strip())
            if not key:
                return
            if not self._trusted(address.strip()):
                self._remove(guest)
                self._place(guest, key, now)
                return

    def heard(self, guest: Guest, size: int) -> bool:
        """So many bytes of an incomplete request came. False: the request is too large."""
        if guest not in self._guests:
            return True
        size_of = self._heads.get(guest, 0) + size
        self._heads[guest] = size_of
        self._bytes += size
        while self._bytes > HEADS_BYTES:
            self.drop(next(iter(self._heads)), "bytes")
        return size_of <= HEAD_BYTES

    def parsed(self, guest: Guest) -> None:
        """The request is complete: nothing of it is kept here."""
        self._bytes -= self._heads.pop(guest, 0)

    def invalid(self, guest: Guest, now: float) -> None:
        """The guest's token was wrong."""
        key = self._guests.get(guest, _PROXY)
        if key == _PROXY or not self._bounds.invalid_tokens:
            return
        began, number = self._invalid.pop(key, (now, 0))
        if now - began > INVALID_TOKENS_WINDOW_S:
            began, number = now, 0
        self._invalid[key] = began, number + 1
        if len(self._invalid) > _KNOWN:
            del self._invalid[next(iter(self._invalid))]

    def identified(self, guest: Guest) -> None:
        """The guest has identified: these bounds no longer count it."""
        self._remove(guest)

    def left(self, guest: Guest) -> None:
        """The connection is closed."""
        self._room.used -= 1
        self._remove(guest)

    def drop(self, guest: Guest, why: str) -> None:
        """Cut a guest, and count why."""
        self._remove(guest)
        self.count(why)
        guest.cut()

    def count(self, why: str) -> None:
        """A connection was cut that is not among the guests."""
        metrics.CUT.labels(self._port, why).inc()
        self._say(why)

    def _place(self, guest: Guest, key: str, now: float) -> None:
        self._guests[guest] = key
        if key != _PROXY:
            beside = self._of.setdefault(key, {})
            beside[guest] = None
            if self._barred(key, now):
                self.drop(guest, "invalid tokens")
                return
            if 0 < self._bounds.per_address < len(beside):
                self.drop(next(iter(beside)), "address")
                return
        if 0 < self._bounds.in_all < len(self._guests):
            self.drop(next(iter(self._guests)), "all")
        elif self._room.full:
            self.drop(next(iter(self._guests)), "descriptors")

    def _remove(self, guest: Guest) -> None:
        key = self._guests.pop(guest, None)
        if key is None:
            return
        self.parsed(guest)
        beside = self._of.get(key)
        if beside is not None:
            beside.pop(guest, None)
            if not beside:
                del self._of[key]

    def _barred(self, key: str, now: float) -> bool:
        if not self._invalid:
            return False
        began, number = self._invalid.get(key, (now, 0))
        return number >= self._bounds.invalid_tokens and now - began <= INVALID_TOKENS_WINDOW_S

    def _trusted(self, address: str) -> bool:
        if not self._bounds.proxies:
            return False
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._bounds.proxies)


@lru_cache(4096)
def bucket(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that a subscriber of IPv6 is given; empty: it is none."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        parsed = IPv6Address(int(parsed) >> 64 << 64)
    return str(parsed or "")


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def admission_of(port: str, settings: Settings, room: Room) -> Admission:
    """What is kept for a port; what is cut is logged at growing intervals for each reason."""
    log, seldom = logs.get("gateway"), defaultdict[str, Seldom](Seldom)

    def say(why: str) -> None:
        if seldom[why].now(time.monotonic()):
            log.warning("connections are cut", action=Action.CUT, port=port, why=why, descriptors=room.used)

    return Admission(
        port,
        Bounds(
            settings.unidentified,
            settings.unidentified_per_address,
            settings.invalid_tokens_per_address,
            settings.proxies(),
        ),
        room,
        say,
    )
