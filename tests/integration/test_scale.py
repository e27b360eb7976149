"""`fanfare scale` and `fanfare restart` on a running system, while messages are on their way."""

import asyncio
import json
import os
import stat
import sys
from typing import Any

import pytest

from fanfare.embedded.control import ask
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError
from tests.stack import Stack
from tests.world import processes_of, whole_again

pytestmark = pytest.mark.system


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
