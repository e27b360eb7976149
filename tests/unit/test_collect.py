"""What is asked of processes for one sample: all of few, and of many those whose turn it is."""

import pytest

from fanfare.observe import collect
from fanfare.observe.collect import Collector, Endpoint
from fanfare.settings import Settings
from fanfare.telemetry.internal import InternalServer


@pytest.fixture
async def asked(monkeypatch):
    """`asked`: the places of the processes that were asked, by turns; they are six, and three are asked at once."""
    monkeypatch.setattr(collect, "_MOST", 3)
    said: list[int] = []

    def status(place: int):
        def body() -> dict[str, object]:
            said.append(place)
            return {"ready": True}

        return body

    servers = [InternalServer(lambda: "", status(place)) for place in range(6)]
    for server in servers:
        await server.start("127.0.0.1", 0)
    said.clear()
    yield said, servers
    for server in servers:
        await server.stop()


async def test_of_many_processes_each_has_its_turn(asked):
    said, servers = asked
    known = [
        Endpoint(name=f"gateway.{place}", role="gateway", pid=place, state="running", internal=server.address)
        for place, server in enumerate(servers)
    ]

    async def turn() -> set[int]:
        said.clear()
        found = await collector.sample()
        assert [process.ready for process in found.processes] == [True] * len(known)
        assert "kafka" in found.problems
        assert len(said) == len(set(said))
        return set(said)

    collector = Collector(Settings(kafka="127.0.0.1:1"), lambda: known, stores=False)
    assert await turn() == set(range(6)), "of a new process something is known at once"
    first, second = await turn(), await turn()
    assert (len(first), first | second) == (3, set(range(6)))
    known[4] = Endpoint(**known[4] | {"pid": 400})
    known[5] = Endpoint(**known[5] | {"pid": 500})
    third = await turn()
    assert len(third) == 3
    assert third > {4, 5}, "they were started again"
    await servers[0].stop()
    del known[1:3]
    for _ in range(2):
        found = await collector.sample()
    assert [process.ready for process in found.processes] == [False, True, True, True]
    await collector.__aexit__()
