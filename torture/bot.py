"""Real discord.py clients, in a process of their own: `python -m torture.bot`.

stdin has one line of JSON: {"api", "gateway", "tokens": [...]}. stdout gets one line of JSON for each thing that a
client sees: [index, "ready"|"resumed"|"invalid"|"got"|"closed", time, ...]. It ends with its stdin.
"""

import asyncio
import json
import logging
import sys
import time
from typing import Any

import discord
import yarl
from discord.gateway import DiscordWebSocket
from typing_extensions import override

__all__ = ["Bot"]


def _tell(*facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Bot(discord.Client):
    """Tells what comes in, as it comes in."""

    def __init__(self, number: int) -> None:
        super().__init__(intents=discord.Intents.all(), enable_debug_events=True, max_messages=None)
        self.number = number

    async def on_socket_raw_receive(self, text: str) -> None:
        """A frame, decompressed."""
        frame = json.loads(text)
        now = time.monotonic()
        kind, d = frame["t"], frame["d"]
        if frame["op"] == 9:
            _tell(self.number, "invalid", now, bool(d))
        elif kind == "MESSAGE_CREATE":
            _tell(self.number, "got", now, int(d["id"]), frame["s"], int(d["channel_id"]))
        elif kind in {"READY", "RESUMED"}:
            _tell(self.number, kind.lower(), now)

    async def on_disconnect(self) -> None:
        """The connection is gone."""
        _tell(self.number, "closed", time.monotonic())

    @override
    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        _tell(self.number, "error", time.monotonic(), event_method, repr(sys.exception()))


async def _run(api: str, gateway: str, tokens: list[str]) -> None:
    discord.http.Route.BASE = api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    bots = [Bot(number) for number in range(len(tokens))]
    running = [asyncio.create_task(bot.start(token)) for bot, token in zip(bots, tokens, strict=True)]
    await stdin.read()
    await asyncio.gather(*(bot.close() for bot in bots))
    await asyncio.gather(*running, return_exceptions=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asked = json.loads(sys.stdin.readline())
    asyncio.run(_run(asked["api"], asked["gateway"], asked["tokens"]))
