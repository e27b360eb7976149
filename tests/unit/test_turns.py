"""Only so many starts are under way at one time; the others wait, and not for ever."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway.sessions import start_answers
from gateway.sessions.outcomes import EndError
from gateway.sessions.start_answers import turn

OPEN = SimpleNamespace(open=True)


async def test_one_waits_until_another_is_done() -> None:
    turns, order = asyncio.Semaphore(1), []

    async def start(name: str, go_on: asyncio.Event) -> None:
        async with turn(turns, OPEN):
            order.append(name)
            await go_on.wait()

    first, second = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(start("first", first))
        tasks.create_task(start("second", second))
        await asyncio.sleep(0)
        assert order == ["first"]
        first.set()
        second.set()
    assert order == ["first", "second"]


async def test_a_turn_is_given_back_when_the_client_has_gone_or_the_start_fails() -> None:
    turns = asyncio.Semaphore(1)
    with pytest.raises(EndError, match="gone"):
        async with turn(turns, SimpleNamespace(open=False)):
            pytest.fail("nobody is there")
    with pytest.raises(LookupError):
        async with turn(turns, OPEN):
            raise LookupError
    assert not turns.locked()


async def test_who_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_answers, "_TURN_S", 0.0)
    turns = asyncio.Semaphore(0)
    with pytest.raises(EndError, match="reconnect and resume"):
        async with turn(turns, OPEN):
            pytest.fail("there is no place")
