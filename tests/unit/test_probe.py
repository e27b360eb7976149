"""Small questions over a connection that is kept."""

import asyncio

import pytest

from fanfare import probe
from fanfare.probe import Line, ask_all

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
async def server():
    """A server that answers so many questions on each connection, and counts both."""
    seen = {"connections": 0, "most": 100, "answer": ANSWER, "pieces": False, "hang": False}
    stopped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen["connections"] += 1
        for _ in range(seen["most"]):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except EOFError:
                break
            for piece in (
                [seen["answer"][at : at + 7] for at in range(0, len(ANSWER), 7)] if seen["pieces"] else ()
            ):
                writer.write(piece)
                await asyncio.sleep(0)
            if not seen["pieces"]:
                writer.write(seen["answer"])
        if seen["hang"]:
            await stopped.wait()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen["url"] = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    seen["stop"] = listening.close
    yield seen
    stopped.set()
    listening.close()


async def test_many_questions_take_one_connection(server):
    line = Line(server["url"])
    assert [await line.get("/x") for _ in range(5)] == [(200, b"hi")] * 5
    assert server["connections"] == 1
    line.close()


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(server):
    server["most"] = 1
    line = Line(server["url"])
    assert [await line.get("/x") for _ in range(3)] == [(200, b"hi")] * 3
    assert server["connections"] == 3
    line.close()


@pytest.mark.parametrize(
    "answer", [b"no HTTP\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Le"]
)
async def test_what_is_no_answer(server, answer):
    server["answer"], server["most"] = answer, 1
    line = Line(server["url"])
    assert await line.get("/x") is None
    server["answer"] = ANSWER
    assert await line.get("/x") == (200, b"hi")
    line.close()


async def test_who_does_not_answer_in_time_or_is_not_there(server):
    server["most"] = 0
    line = Line(server["url"])
    assert await line.get("/x", 0.2) is None
    server["stop"]()
    line.close()
    assert await Line("http://127.0.0.1:1").get("/x", 0.2) is None


async def test_an_answer_in_pieces_and_many_at_once(server):
    lines = [Line(server["url"]) for _ in range(20)]
    server["pieces"] = True
    assert await ask_all(lines, "/x") == [(200, b"hi")] * 20
    server["most"] = 0
    mute = Line(server["url"])
    server["hang"] = True
    assert await ask_all([*lines, mute], "/x", 0.3) == [(200, b"hi")] * 20 + [None]
    assert await ask_all([], "/x") == []
    for line in (*lines, mute):
        line.close()


async def test_an_answer_larger_than_any_of_ours(server, monkeypatch):
    monkeypatch.setattr(probe, "MOST_BYTES", 1000)
    server["answer"] = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)
    line = Line(server["url"])
    assert await line.get("/x") is None
    server["answer"] = ANSWER
    assert await line.get("/x") == (200, b"hi")
    line.close()
