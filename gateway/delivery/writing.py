"""Writing the same bytes to many sockets."""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.io_uring import Uring, UringUnavailableError

if TYPE_CHECKING:
    from array import array

__all__ = ["Write", "fastest", "one_by_one"]

Write = Callable[["array[int]", bytes], list[tuple[int, int]]]
"""Sends bytes to descriptors without waiting; returns those that took only a part, and how much; not failed ones."""

# Measured: for fewer sockets, one call for each socket costs less.
_MANY: Final = 64


def one_by_one(fds: Iterable[int], data: bytes) -> list[tuple[int, int]]:
    """A system call for each socket."""
    write = os.write
    length = len(data)
    short: list[tuple[int, int]] = []
    for fd in fds:
        try:
            written = write(fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            continue  # the transport will tell that the connection is lost
        if written != length:
            short.append((fd, written))
    return short


def fastest(*, io_uring: bool) -> Write:
    """One system call for many sockets where the kernel lets us, and that is wanted; else one for each."""
    log = logs.get("writes")
    if not io_uring:
        return one_by_one
    try:
        ring = Uring()
    except UringUnavailableError as error:
        log.info("one write for each socket", action=Action.START, why=f"no io_uring: {error}")
        return one_by_one

    def write(fds: "array[int]", data: bytes) -> list[tuple[int, int]]:
        return ring.write(fds, data) if len(fds) >= _MANY else one_by_one(fds, data)

    return write
