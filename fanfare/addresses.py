"""Hosts and ports as people write them, and as they stand in URLs. Pure."""

import ipaddress
import re
from urllib.parse import urlsplit

__all__ = [
    "host_problem",
    "is_everywhere",
    "is_loopback",
    "kafka_problem",
    "public_url_problem",
    "reach",
    "url_host",
]

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")


def url_host(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets, its zone escaped (RFC 6874)."""
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def is_everywhere(host: str) -> bool:
    """Whether listening there means all addresses of the machine: nobody can connect to such an address."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reach(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    if not is_everywhere(host):
        return host
    return "::1" if ":" in host else "127.0.0.1"


def host_problem(host: str) -> str:
    """What is wrong with a host to listen on, or ''."""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return f"{host!r} is no host: ports have settings of their own, and an IPv6 address is like ::1"
    elif not _NAME.fullmatch(host):
        return f"{host!r} is no host: it is a name, or an address such as 127.0.0.1 or ::1"
    elif re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return f"{host!r} is no IPv4 address"
    return ""


def kafka_problem(servers: str) -> str:
    """What is wrong with a list of bootstrap servers, or ''."""
    for server in servers.split(","):
        if "://" in server:
            return f"{server!r} begins with a protocol: write HOST:PORT, and the protocol into FANFARE_KAFKA_SECURITY"
        host, colon, port = server.strip().rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host if ":" not in host else ""
        if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65535:
            return f"{server.strip()!r} is not HOST:PORT with a port from 1 to 65535"
        if not host or host_problem(host):
            return f"{server.strip()!r} is not HOST:PORT; an IPv6 address is in brackets, such as [::1]:9092"
    return ""


def public_url_problem(url: str, *, tls: bool) -> str:
    """What is wrong with the websocket URL that clients are given, or ''. tls: whether we serve TLS ourselves."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in {"ws", "wss"}:
        return "must be a ws:// or wss:// URL, because clients open a websocket there"
    if not parts.hostname or any(character.isspace() for character in url):
        return "names no host"
    if "@" in parts.netloc:
        return "holds a user name: clients log in by their token, and would show it in their logs"
    if "?" in url or "#" in url:
        return "must have no query and no fragment, because clients append their own query"
    if is_everywhere(parts.hostname):
        return f"names {parts.hostname}, to which no client can connect: write the name or address of the machine"
    if port == 0:
        return "names port 0, to which no client can connect"
    if tls and parts.scheme == "ws":
        return "must begin with wss://, because FANFARE_TLS_CERT makes the gateway serve TLS"
    return ""
