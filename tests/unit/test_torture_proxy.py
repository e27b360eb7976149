"""Links that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from fanfare.embedded.ports import free_port
from torture.proxy import HOST, Mode, Proxies

SOON_S = 5
SILENT_S = 0.3


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(100):
            writer.write(data)
    writer.close()


@pytest.fixture
async def link():
    """A port behind which somebody says what is said, and what can be done to the link."""
    port = free_port()
    server = await asyncio.start_server(echo, HOST, 0)
    async with server, Proxies([(port, server.sockets[0].getsockname()[1])]) as proxies:
        yield port, proxies


class Talk:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, within_s: float = SOON_S) -> bytes:
        """What comes back for a word: the word, or nothing if the connection has ended."""
        try:
            self.writer.write(b"hello")
            async with asyncio.timeout(within_s):
                return await self.reader.read(100)
        except ConnectionError:
            return b""


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until_whole(port: int) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            async with talking(port) as talk:
                if await talk.says() == b"hello":
                    return


async def until_reset(port: int) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            async with talking(port) as talk:
                if await talk.says() == b"":
                    return


async def test_a_whole_link_carries_both_ways(link) -> None:
    port, _ = link
    async with talking(port) as talk:
        assert await talk.says() == b"hello"


async def test_a_reset_link_cuts_off_what_is_there_and_what_comes(link) -> None:
    port, proxies = link
    async with talking(port) as talk:
        assert await talk.says() == b"hello"
        proxies.turn(port, Mode.RESET)
        await until_reset(port)
        assert await talk.says() == b""
    proxies.turn(port, Mode.HEAL)
    await until_whole(port)


async def test_a_dropping_link_hangs_and_never_goes_on_with_a_gap(link) -> None:
    port, proxies = link
    async with talking(port) as talk:
        assert await talk.says() == b"hello"
        proxies.turn(port, Mode.DROP)
        await asyncio.sleep(SILENT_S)
        with pytest.raises(TimeoutError):
            await talk.says(SILENT_S)
        proxies.turn(port, Mode.HEAL)
        await until_whole(port)
        assert await talk.says() == b""


async def test_new_connections_can_be_led_elsewhere_while_old_ones_stay(link):
    port, proxies = link

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data.upper())
        writer.close()

    async with await asyncio.start_server(shout, HOST, 0) as other, talking(port) as old:
        assert await old.says() == b"hello"
        proxies.lead(port, other.sockets[0].getsockname()[1])
        said = b""
        async with asyncio.timeout(SOON_S):
            while said != b"HELLO":
                async with talking(port) as new:
                    said = await new.says()
        assert await old.says() == b"hello"


async def test_new_connections_are_led_to_several_places_in_turn(link):
    port, proxies = link

    async def say_no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(100)
            writer.write(b"no")
        writer.close()

    async with (
        await asyncio.start_server(echo, HOST, 0) as one,
        await asyncio.start_server(say_no, HOST, 0) as other,
    ):
        proxies.lead(port, *(each.sockets[0].getsockname()[1] for each in (one, other)))
        said: list[bytes] = []
        async with asyncio.timeout(SOON_S):
            while b"no" not in said or len(said) < 6:
                async with talking(port) as talk:
                    said.append(await talk.says())
        alternating = said[said.index(b"no") :]
        assert {*alternating[::2]} == {b"no"}
        assert {*alternating[1::2]} == {b"hello"}
