"""Ports: a port that is set is used, or refused by its setting's name; 0 means any free port."""

import errno
import random
import socket

from fanfare.embedded.errors import UpError

__all__ = ["free_port", "listen", "reserve"]

# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that a port we
# chose is still free when its process is started again.
LOWEST, HIGHEST = 15_000, 32_000
TRIES = 200
BACKLOG = 4096

# Ports handed out by this process, so that two parts never get the same one before they are bound.
_given: set[int] = set()


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    for _ in range(TRIES):
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        if port in _given:
            continue
        try:
            _bind(host, port).close()
        except OSError:
            continue
        _given.add(port)
        return port
    raise UpError(f"no free port found on {host} between {LOWEST} and {HIGHEST}")


def reserve(setting: str, port: int, host: str = "127.0.0.1") -> int:
    """The port for a part that binds it itself: as set, or a free one for 0.

    Raises:
        UpError: it is in use.

    """
    if port == 0:
        return free_port(host)
    try:
        _bind(host, port).close()
    except OSError as error:
        raise _refusal(setting, host, port, error) from None
    _given.add(port)
    return port


def listen(setting: str, host: str, port: int) -> socket.socket:
    """An open listening socket for children to inherit.

    Raises:
        UpError: the port is in use, or the host is not ours.

    """
    try:
        bound = _bind(host, port)
    except OSError as error:
        raise _refusal(setting, host, port, error) from None
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound


def _refusal(setting: str, host: str, port: int, error: OSError) -> UpError:
    if error.errno == errno.EADDRINUSE:
        return UpError(
            f"port {port} on {host} is in use: stop what uses it, or set {setting} to another port"
        )
    return UpError(
        f"cannot listen on {host} port {port} ({error.strerror}): set {setting} or the host differently"
    )
