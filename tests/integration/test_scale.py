"""`fanfare scale` and `fanfare restart` on a running system, while messages are on their way."""

import asyncio
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fanfare.embedded.control import ask
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError
from tests.stack import Stack
from tests.world import processes_of, whole_again

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Stack]:
    """A system of its own, with two partitions of chat.events."""
    partitions = {"chat_partitions": "2", "guild_partitions": "1", "location_partitions": "1"}
    system = Stack(tmp_path_factory.mktemp("small"), settings=partitions)
    system.start()
    yield system
    system.stop()


async def fanfare(stack: Stack, *words: str) -> tuple[int, str]:
    """A command on the stack: exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fanfare.cli",
        *words,
        env=os.environ | {"FANFARE_HOME": str(stack.home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def names(stack: Stack) -> set[str]:
    return {process["name"] for process in await processes_of(stack)}


async def test_workers_come_and_go_under_load(stack, nodes, world, online):
    """A message that is lost, doubled or late behind another one shows in what the reader has got."""
    before = await names(stack)
    sender = await online(nodes[0], world.people[0])
    reader = await online(nodes[1], world.people[1])
    done = asyncio.Event()
    sent: list[str] = []

    async def send() -> None:
        while not done.is_set():
            sent.append((await sender.send(world.channels[0], f"message {len(sent)}"))["id"])

    sending = asyncio.create_task(send())
    try:
        status, said = await fanfare(stack, "scale", "fanout=3", "notifier=3", "--json")
        assert status == 0, said
        changes = [json.loads(line) for line in said.splitlines()]
        assert [(one["role"], one["from"], one["to"]) for one in changes] == [
            ("fanout", 2, 3),
            ("notifier", 2, 3),
        ]
        assert all(one["gap_s"] >= 0 for one in changes)
        assert await names(stack) == before | {"fanout.3", "notifier.3"}
        status, said = await fanfare(stack, "scale", "fanout=2,notifier=2")
        assert status == 0, said
        assert "stopped fanout.3" in said
        status, said = await fanfare(stack, "restart", "notifier.2", "--json")
        assert status == 0, said
        assert json.loads(said)["restarted"] == ["notifier.2"]
        assert json.loads(said)["missing"] == 0
    finally:
        done.set()
        await sending
    got: list[str] = []
    while len(got) < len(sent):
        event = await reader.until("MESSAGE_CREATE", channel_id=str(world.channels[0]))
        got.append(event.d["id"])
    assert got == sent
    assert await names(stack) == before
    await whole_again(stack)


async def test_a_gateway_comes_and_goes(stack, world):
    before = await names(stack)
    status, said = await fanfare(stack, "scale", "gateway=3", "--json")
    assert status == 0, said
    assert json.loads(said)["started"] == ["gateway.3"]
    status, said = await fanfare(stack, "scale", "gateway=2", "--json")
    assert json.loads(said)["stopped"] == ["gateway.3"]
    assert await names(stack) == before


async def test_what_is_there_already_changes_nothing(stack):
    pids = {process["name"]: process["pid"] for process in await processes_of(stack)}
    status, said = await fanfare(stack, "scale", "fanout=2", "--json")
    assert (status, json.loads(said)["started"], json.loads(said)["stopped"]) == (0, [], [])
    assert {process["name"]: process["pid"] for process in await processes_of(stack)} == pids


async def test_without_probes_nothing_is_measured(stack):
    """Who scales up because of a backlog must not have to wait until that is done, nor put more into it."""
    status, said = await fanfare(stack, "scale", "fanout=2", "--no-probe", "--json")
    assert (status, json.loads(said)["gap_s"]) == (0, None)
    status, said = await fanfare(stack, "scale", "fanout=2", "--no-probe")
    assert (status, len(said.splitlines())) == (0, 1), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scale", "fnout=2"), "there is no service 'fnout': there are gateway, fanout, notifier, archiver"),
        (("scale", "fanout=65"), "not a number from 0 to 64"),
        (("scale", "fanout=two"), "is not ROLE=NUMBER"),
        (("scale", "kafka=3"), "there is no service 'kafka'"),
        (("restart", "postgres"), "there is no process and no service 'postgres'"),
        (("restart", "fanout.9"), "there are archiver.1"),
    ],
)
async def test_what_cannot_be_is_said(stack, words, said):
    status, answer = await fanfare(stack, *words)
    assert status != 0
    assert said in " ".join(answer.replace("│", " ").split())


async def test_that_nothing_changed_is_said(stack):
    status, said = await fanfare(stack, "scale", "fanout=2", "notifier=2")
    there = "there are 2 already, so nothing changed"
    assert (status, said.splitlines()) == (0, [f"fanout: {there}", f"notifier: {there}"])


async def test_at_0_events_wait_until_there_is_one_again(stack, nodes, world, online):
    sender = await online(nodes[0], world.people[0])
    reader = await online(nodes[1], world.people[1])
    status, said = await fanfare(stack, "scale", "fanout=0")
    assert status == 0, said
    assert "fanout: 2 -> 0 (stopped fanout.2, stopped fanout.1)" in said
    assert "fanout: events wait in Kafka until there is one again" in said
    assert "was not measured: without a fanout and a notifier nothing is delivered" in said
    sent = [(await sender.send(world.channels[0], f"message {number}"))["id"] for number in range(3)]
    status, said = await fanfare(stack, "scale", "fanout=2")
    assert status == 0, said
    assert "fanout: 0 -> 2" in said
    got = [await reader.until("MESSAGE_CREATE", channel_id=str(world.channels[0])) for _ in sent]
    assert [event.d["id"] for event in got] == sent
    await whole_again(stack)


async def test_a_member_beyond_the_partitions_is_named(small):
    status, said = await fanfare(small, "scale", "fanout=3")
    assert status == 0, said
    assert re.search(r"fanout: fanout\.[123] has no partition of chat\.events", said)
    status, said = await fanfare(small, "scale", "fanout=2", "--json")
    assert (status, json.loads(said)["idle"]) == (0, [])
    status, said = await fanfare(small, "scale", "fanout=1")
    assert status == 0, said


@pytest.mark.parametrize(("store", "name"), [("kafka", "Kafka"), ("redis", "Redis")])
async def test_while_a_store_is_away_nothing_is_changed_and_it_is_said(small, store, name):
    """`fanfare scale` hung until Kafka was back, and while Redis was away it said that `fanfare up` had ended."""
    before = {process["name"]: process["pid"] for process in await processes_of(small)}
    (pid,) = (pid for process, pid in before.items() if process.startswith(store))
    os.kill(pid, signal.SIGSTOP)
    try:
        status, said = await fanfare(small, "scale", "fanout=2")
        assert status == 1
        assert f"{name} does not answer" in said
        assert "nothing was changed" in said
        state = json.loads((small.home / "state.json").read_text())
        assert {process["name"]: process["pid"] for process in state["processes"]} == before
    finally:
        os.kill(pid, signal.SIGCONT)
    await whole_again(small)


async def test_one_change_at_a_time(stack):
    folder = DataFolder(stack.home)
    request: dict[str, Any] = {"do": "restart", "what": "archiver"}
    answers = await asyncio.gather(ask(folder, request), ask(folder, request), return_exceptions=True)
    assert sorted(type(answer) for answer in answers if isinstance(answer, Exception)) == [UpError]
    assert "another change is under way" in str(answers)
    await whole_again(stack)


async def test_the_socket_is_its_owners_alone(stack):
    mode = (stack.home / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_where_nothing_runs(tmp_path):
    with pytest.raises(NotRunningError, match="fanfare up"):
        await ask(DataFolder(tmp_path), {"do": "scale", "wanted": {"fanout": 2}})
