"""Asks a running `fanfare up` by the socket in its data folder, which only its owner can open.

One request a connection, one line of JSON each way: `{"do": "scale", ...}`, answered by `{"ok": ...}` or
`{"error": "..."}`. `fanfare/embedded/control.py` answers.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["NAME", "ControlError", "ask", "short"]

NAME: Final = "control.sock"
# What a hundred processes and a thousand partitions do, with room to spare.
_ANSWER_BYTES: Final = 4 * 1024 * 1024


class ControlError(Exception):
    """It says why not."""


async def ask(home: Path, request: dict[str, Any]) -> Any:
    """Ask; waits until it is done.

    Args:
        home: the data folder.
        request: `do`, and what that needs.

    Raises:
        OSError: nothing listens there.
        ControlError: the answer says why not.

    """
    with short(home) as folder:
        reader, writer = await asyncio.open_unix_connection(folder / NAME, limit=_ANSWER_BYTES)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        line = await reader.readline()
    except OSError:
        line = b""
    finally:
        writer.close()
    if not line:
        raise ControlError("`fanfare up` ended before it answered")
    said = msgspec.json.decode(line)
    if "error" in said:
        raise ControlError(said["error"])
    return said["ok"]


@contextlib.contextmanager
def short(folder: Path) -> Iterator[Path]:
    """The folder under a short name: the path of a socket has 107 bytes at the most."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
