"""Who is offered the demo's people at log-in: whoever could read their tokens in the data folder anyway.

That is a browser of the same user on the same machine, and no other page in it. Pure.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ["is_local", "owner"]

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# A proxy stands between us and somebody else.
_PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_local(headers: Mapping[str, str], peer: str) -> bool:
    """Whether a request comes from our own page, on this machine, by no proxy.

    A page of a stranger can make a name of its own lead to 127.0.0.1; the Host header then has that name.

    Args:
        headers: of the request, found by any case.
        peer: the address that the connection comes from.

    """
    try:
        near = ip_address(peer).is_loopback
        host = urlsplit("//" + headers.get("Host", "")).hostname
    except ValueError:
        return False
    return (
        near
        and host in _LOCAL_NAMES
        and headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        and not any(name in headers for name in _PROXY_HEADERS)
    )


def owner(table: Iterable[str], peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """Which user of this machine has the other end of a connection over loopback.

    Args:
        table: the lines of /proc/net/tcp and /proc/net/tcp6.
        peer: address and port of the other end.
        own: those of ours.

    Returns:
        The number of the user; None where the table does not have the connection.

    """
    wanted = (_ends(peer), _ends(own))
    for line in table:
        fields = line.split()
        if len(fields) > 7 and (fields[1], fields[2]) == wanted and fields[7].isdigit():
            return int(fields[7])
    return None


def _ends(address: tuple[str, int]) -> str:
    """An address as the kernel's table shows it: words in the machine's byte order, in hexadecimal."""
    packed = ip_address(address[0]).packed
    words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
    return f"{''.join(words)}:{address[1]:04X}"
