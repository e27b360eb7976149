"""Writing the same bytes to many sockets in one system call: io_uring, where the kernel allows it.

The ring is used for one thing only: a batch of non-blocking sends, which are all done when `io_uring_enter` returns. So
there is never anything under way, the ring is only touched by the thread that enters it, and nothing here needs a
barrier. The work for each socket is done by strided copies of memoryviews, not by Python code.

Sources: io_uring_setup(2), io_uring_enter(2), linux/io_uring.h.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from typing import Final

__all__ = ["Uring", "UringUnavailableError"]

_SETUP: Final = 425
_ENTER: Final = 426
# io_uring_params: numbers, the features among them, then where things stand in the rings.
_PARAMS: Final = struct.Struct("10I 8IQ 8IQ")
_FEATURES: Final = 5
_SQ_OFFSETS: Final = 10
_CQ_OFFSETS: Final = 19
_HEAD: Final = 0
_TAIL: Final = 1
_SQ_ARRAY: Final = 6
_CQES: Final = 5
_SINGLE_MMAP: Final = 1 << 0
_NODROP: Final = 1 << 1
_SQES: Final = 0x1000_0000
_SQE_BYTES: Final = 64
# A result: which entry it is of, what came of it, flags.
_CQE: Final = struct.Struct("QiI")
_CQE_BYTES: Final = _CQE.size
# Of an entry, in bytes: opcode, descriptor, address, length, flags of the send, and what comes back with its result.
_OPCODE, _FD, _ADDRESS, _LENGTH, _SEND_FLAGS, _USER_DATA = 0, 4, 16, 24, 28, 32
_RESULT: Final = 8
_SEND: Final = 26
# Measured: what as many sends need fits a core's cache; with 4,096 a send costs 4 % more.
_ENTRIES: Final = 512


class UringUnavailableError(Exception):
    """The kernel, or its administrator, does not allow io_uring; the message says why."""


class Uring:
    """A ring for sends."""

    def __init__(self, entries: int = _ENTRIES) -> None:
        """Args: entries: how many sends go into one call, a power of two.

        Raises:
            UringUnavailableError: it cannot be had here, or does not do what is needed.

        """
        if sys.platform != "linux":
            raise UringUnavailableError("only Linux has it")
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        params = ctypes.create_string_buffer(_PARAMS.size)
        self._fd = self._syscall(_SETUP, entries, params)
        if self._fd < 0:
            raise UringUnavailableError(os.strerror(ctypes.get_errno()))
        try:
            self._map(_PARAMS.unpack(params.raw))
            self._probe()
        except OSError as error:
            self.close()
            raise UringUnavailableError(f"it does not do what is needed: {error}") from error
        except UringUnavailableError:
            self.close()
            raise

    def close(self) -> None:
        """Give the ring back."""
        os.close(self._fd)

    def _map(self, found: "tuple[int, ...]") -> None:
        """Map the rings, and fill in what never changes."""
        if ~found[_FEATURES] & (_SINGLE_MMAP | _NODROP):
            raise UringUnavailableError("the kernel is too old")
        self._entries, self._results = found[0], found[1]
        sq, cq = found[_SQ_OFFSETS:], found[_CQ_OFFSETS:]
        size = max(sq[_SQ_ARRAY] + 4 * self._entries, cq[_CQES] + _CQE_BYTES * self._results)
        rings = memoryview(mmap.mmap(self._fd, size, mmap.MAP_SHARED))
        sqes = memoryview(mmap.mmap(self._fd, _SQE_BYTES * self._entries, mmap.MAP_SHARED, offset=_SQES))
        self._tail = rings[sq[_TAIL] : sq[_TAIL] + 4].cast("I")
        self._head = rings[cq[_HEAD] : cq[_HEAD] + 4].cast("I")
        self._done = rings[cq[_TAIL] : cq[_TAIL] + 4].cast("I")
        self._cqes = rings[cq[_CQES] : cq[_CQES] + _CQE_BYTES * self._results]
        numbers, wide = sqes.cast("i"), sqes.cast("Q")
        self._fds = numbers[_FD // 4 :: _SQE_BYTES // 4]
        self._lengths = numbers[_LENGTH // 4 :: _SQE_BYTES // 4]
        self._addresses = wide[_ADDRESS // 8 :: _SQE_BYTES // 8]
        # Each place in the queue is for the entry of the same number.
        order = rings[sq[_SQ_ARRAY] : sq[_SQ_ARRAY] + 4 * self._entries].cast("I")
        order[:] = array("I", range(self._entries))
        wide[_USER_DATA // 8 :: _SQE_BYTES // 8] = array("Q", range(self._entries))
        # What the results are when each socket took everything, in the order of the entries.
        self._good = memoryview(bytearray(_CQE_BYTES * self._entries))
        self._good.cast("Q")[:: _CQE_BYTES // 8] = array("Q", range(self._entries))
        self._good_lengths = self._good.cast("i")[_RESULT // 4 :: _CQE_BYTES // 4]
        flags = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        numbers[_SEND_FLAGS // 4 :: _SQE_BYTES // 4] = array("i", [flags]) * self._entries
        sqes[_OPCODE::_SQE_BYTES] = bytes([_SEND]) * self._entries

    def write(self, fds: "array[int]", data: bytes) -> list[tuple[int, int]]:
        """Send to many sockets, without waiting for any.

        Args:
            fds: their descriptors.
            data: the bytes.

        Returns:
            Those that did not take all of it, with how much they took; without those that failed.

        Raises:
            OSError: the ring cannot be used any more; how much was sent is not known.

        """
        short: list[tuple[int, int]] = []
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        at = 0
        while at < len(fds):
            # Up to the end of the ring, so that the entries stand in a row.
            first = self._tail[0] % self._entries
            some = fds[at : at + self._entries - first]
            end = first + len(some)
            self._fds[first:end] = memoryview(some)
            if at < self._entries:  # after a round through the ring the rest stands there
                self._addresses[first:end] = memoryview(array("Q", [address]) * len(some))
                lengths = memoryview(array("i", [len(data)]) * len(some))
                self._lengths[first:end] = self._good_lengths[first:end] = lengths
            self._enter(len(some))
            short += self._outcomes(some, first, len(data))
            at += len(some)
        return short

    def _enter(self, count: int) -> None:
        self._tail[0] = (self._tail[0] + count) & 0xFFFF_FFFF
        while count:
            taken = self._syscall(_ENTER, self._fd, count, 0, 0, None, 0)
            if taken < 0:
                error = ctypes.get_errno()
                if error in {errno.EINTR, errno.EAGAIN}:
                    continue
                raise OSError(error, os.strerror(error))
            count -= taken

    def _outcomes(self, fds: "array[int]", first: int, length: int) -> list[tuple[int, int]]:
        """Take the results of a batch: there is one for each."""
        count = len(fds)
        if (self._done[0] - self._head[0]) & 0xFFFF_FFFF != count:
            raise OSError(errno.EIO, "io_uring: a send is still under way")
        start = self._head[0] % self._results * _CQE_BYTES
        results = self._cqes[start : start + count * _CQE_BYTES].tobytes()
        results += self._cqes[: count * _CQE_BYTES - len(results)].tobytes()  # from the start of the ring
        short = []
        if results != self._good[first * _CQE_BYTES : (first + count) * _CQE_BYTES].tobytes():
            for number, result, _ in _CQE.iter_unpack(results):
                # Of those that failed, the transport will tell.
                if result == -errno.EAGAIN or 0 <= result < length:
                    short.append((fds[number - first], max(0, result)))
        self._head[0] = (self._head[0] + count) & 0xFFFF_FFFF
        return short

    def _probe(self) -> None:
        """Check that a send that cannot be done at once, or not wholly, says so at once.

        Raises:
            UringUnavailableError: it does not.
            OSError: the ring does not work.

        """
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            fds, data = array("i", [here.fileno()]), bytes(1 << 20)
            whole = self.write(fds, b"1")
            parts = [self.write(fds, data) for _ in range(3)]
            if whole or parts[-1] != [(fds[0], 0)] or not 0 < parts[0][0][1] < len(data):
                raise UringUnavailableError("it does not say what was sent")
