"""The Lua scripts, each in a file of its own, run by their SHA-1 so that they can stand in pipelines."""

import hashlib
from importlib import resources
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

from fanfare.constants import S_SHIFT

__all__ = ["SWAP", "Script"]


class Script:
    """One script. In a pipeline a `NoScriptError` in its place says: `await load(redis)` and send again."""

    __slots__ = ("_sha", "_text")

    def __init__(self, name: str, *, after: str = "") -> None:
        """Read a script.

        Args:
            name: of the file in `fanfare/presence/lua`, without its ending.
            after: another script that is put before it, as Redis's scripts cannot import one another.

        """
        self._text = _CONSTANTS.get(after, "") + (_read(after) if after else "") + _read(name)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def load(self, redis: Redis) -> None:
        """Make the script known to the server."""
        await redis.script_load(self._text)

    def queue(self, pipe: Pipeline, keys: list[str], args: list[Any]) -> None:
        """Put one call into a pipeline."""
        _ = pipe.evalsha(self._sha, len(keys), *keys, *args)

    async def run(self, redis: Redis, keys: list[str], args: list[Any]) -> Any:
        """Call it now, and load it first where the server does not know it."""
        try:
            return await redis.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.eval(self._text, len(keys), *keys, *args)


def _read(name: str) -> str:
    return resources.files("fanfare.presence").joinpath("lua", f"{name}.lua").read_text()


_CONSTANTS: Final = {"s_now": f"local S_PER_MS = {1 << S_SHIFT}\n"}

SWAP = Script("nonce_swap")
"""Replaces or frees what is known of a nonce, if it is what we think."""
