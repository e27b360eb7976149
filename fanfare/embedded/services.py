"""Our own services: what the Procfile names, how many of each, and what each is told by its environment."""

import os
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fanfare import probe
from fanfare.addresses import reach, url_host
from fanfare.embedded.child import Spec
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.ports import reserve
from fanfare.settings import PREFIX, Settings

__all__ = ["Addresses", "Services", "Sockets", "parse_scale", "read_procfile"]

GATEWAY = "gateway"
MOST_OF_A_KIND = 64
WORKER_STOP_S = 2.5
# What a gateway may need on top of its drain window.
GATEWAY_STOP_S = 1.5


@dataclass(frozen=True)
class Addresses:
    """Where the stores are, the secret that signs tokens, and the key of operators."""

    kafka: str
    redis: str
    postgres: str
    secret: str
    admin_key: str = ""


@dataclass(frozen=True)
class Sockets:
    """The public listening sockets that all gateways share."""

    rest: socket.socket
    gateway: socket.socket

    @property
    def rest_port(self) -> int:
        """The real port, also where the setting is 0."""
        return int(self.rest.getsockname()[1])

    @property
    def gateway_port(self) -> int:
        """The real port, also where the setting is 0."""
        return int(self.gateway.getsockname()[1])

    def close(self) -> None:
        """Close ours; children keep theirs."""
        self.rest.close()
        self.gateway.close()


def read_procfile(path: Path) -> dict[str, list[str]]:
    """The commands of a Procfile by role.

    Raises:
        UpError: it cannot be read, or a line of it.

    """
    from honcho.environ import parse_procfile  # noqa: PLC0415 - only `up` needs honcho

    try:
        text = path.read_text("utf-8")
        commands = {role: shlex.split(line) for role, line in parse_procfile(text).processes.items()}
    except (OSError, UnicodeDecodeError, ValueError, AssertionError) as error:
        raise UpError(f"the Procfile {path} cannot be read: {error}") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) != len(commands):
        raise UpError(f"the Procfile {path} has a line that is not `NAME: COMMAND`")
    return commands


def parse_scale(text: str, roles: list[str]) -> dict[str, int]:
    """How many of each role: `gateway=2,fanout=3`; one of those that are not named.

    Raises:
        UpError: a role is unknown, or a number is none.

    """
    counts = dict.fromkeys(roles, 1)
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, number = part.partition("=")
        if role not in counts:
            raise UpError(
                f"--scale names {role!r}, which the Procfile does not have: it has {', '.join(roles)}"
            )
        if not equals or not number.isdigit() or int(number) > MOST_OF_A_KIND:
            raise UpError(f"--scale {part!r} is not ROLE=NUMBER with a number up to {MOST_OF_A_KIND}")
        counts[role] = int(number)
    return counts


def _environment(
    settings: Settings, addresses: Addresses, sockets: Sockets, folder: DataFolder
) -> dict[str, str]:
    real = settings.model_copy(update={"rest_port": sockets.rest_port, "gateway_port": sockets.gateway_port})
    values = {
        "HOME": str(folder.home),
        "KAFKA": addresses.kafka,
        "REDIS": addresses.redis,
        "POSTGRES": addresses.postgres,
        "SECRET": addresses.secret,
        "ADMIN_KEY": addresses.admin_key,
        "CONTROL": str(folder.home),
        "REST_PORT": str(sockets.rest_port),
        "GATEWAY_PORT": str(sockets.gateway_port),
        "PUBLIC_URL": real.public_gateway(),
    }
    return (
        os.environ
        # Lines of a service have to reach the terminal when they are written, not when a buffer is full.
        | {"PYTHONUNBUFFERED": "1"}
        | {PREFIX + name: value for name, value in values.items()}
    )


@dataclass(frozen=True, kw_only=True)
class Services:
    """Makes what is to be started."""

    settings: Settings
    folder: DataFolder
    addresses: Addresses
    sockets: Sockets
    commands: dict[str, list[str]]
    """By role, as the Procfile has them."""

    def all(self, counts: dict[str, int]) -> list[Spec]:
        """What to start, in the order of the Procfile: `counts[role]` of each.

        Raises:
            UpError: an internal port is in use.

        """
        first = self.settings.internal_port
        wanted = [(role, number) for role in self.commands for number in range(1, counts[role] + 1)]
        return [self.one(role, number, first and first + at) for at, (role, number) in enumerate(wanted)]

    def one(self, role: str, number: int, internal_port: int = 0) -> Spec:
        """A role's process with this number, on this internal port; 0: any.

        Raises:
            UpError: the internal port is in use.

        """
        settings, sockets = self.settings, self.sockets
        command = self.commands[role]
        program = [sys.executable, *command[1:]] if command[0] in {"python", "python3"} else command
        port = reserve("FANFARE_INTERNAL_PORT", internal_port, settings.internal_host)
        name = f"{role}.{number}"
        env = _environment(settings, self.addresses, sockets, self.folder)
        env |= {f"{PREFIX}PROCESS": name, f"{PREFIX}INTERNAL_PORT": str(port)}
        if settings.instance:
            env[f"{PREFIX}INSTANCE"] = f"{settings.instance}.{name}"
        fds: tuple[int, ...] = ()
        if role == GATEWAY:
            fds = (sockets.rest.fileno(), sockets.gateway.fileno())
            env |= {f"{PREFIX}REST_FD": str(fds[0]), f"{PREFIX}GATEWAY_FD": str(fds[1])}
        internal = f"http://{url_host(reach(settings.internal_host))}:{port}"
        return Spec(
            name=name,
            role=role,
            command=program,
            env=env,
            log=self.folder.logs / f"{name}.log",
            ready=_ready(internal),
            internal=internal,
            stop_s=settings.unready_s + settings.drain_s + GATEWAY_STOP_S
            if role == GATEWAY
            else WORKER_STOP_S,
            pass_fds=fds,
        )


def _ready(internal: str) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        answer = await probe.get(f"{internal}/readyz")
        return answer is not None and answer[0] == 200

    return ready
