"""Variables that Kubernetes puts into every pod for the Services of its namespace ("service links").

A Service named `fanfare`, or `fanfare-redis`, makes variables that look like ours, such as `FANFARE_PORT` or
`FANFARE_REDIS_PORT=tcp://10.0.0.1:6379`. Nobody has set them, so they are left out; `enableServiceLinks: false` in the
pod stops them. Their shapes are those of `makeEnvVariableMap` in Kubernetes. Pure.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["is_service_link", "service_links"]

_PREFIX: Final = "FANFARE_"
_ADDRESS: Final = r"[0-9A-Fa-f.:\[\]]+"
_URL: Final = rf"(tcp|udp|sctp)://{_ADDRESS}:\d{{1,5}}"
# A name's ending, and what its value looks like.
_SHAPES: Final = [
    (re.compile(rf"(.+_)?{name}"), re.compile(value))
    for name, value in (
        (r"SERVICE_HOST", _ADDRESS),
        (r"SERVICE_PORT(_[A-Z0-9_]+)?", r"\d{1,5}"),
        (r"PORT", _URL),
        (r"PORT_\d{1,5}_(TCP|UDP|SCTP)", _URL),
        (r"PORT_\d{1,5}_(TCP|UDP|SCTP)_PROTO", r"tcp|udp|sctp"),
        (r"PORT_\d{1,5}_(TCP|UDP|SCTP)_PORT", r"\d{1,5}"),
        (r"PORT_\d{1,5}_(TCP|UDP|SCTP)_ADDR", _ADDRESS),
    )
]


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable has the name and the value that Kubernetes gives to a link to a Service.

    The value counts as well, so that a setting such as `FANFARE_REDIS_PORT=6379` is none.
    """
    if not name.startswith(_PREFIX):
        return False
    rest = name.removeprefix(_PREFIX)
    return any(shape.fullmatch(rest) and content.fullmatch(value) for shape, content in _SHAPES)


def service_links(environment: Mapping[str, str]) -> list[str]:
    """The names of those in an environment."""
    return sorted(name for name, value in environment.items() if is_service_link(name, value))
