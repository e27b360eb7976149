"""`fanfare top` on a running system: in a terminal of 80 columns, and without one."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.system


def test_the_figures_as_json(stack):
    found = json.loads(stack.command("top", "--json").stdout)
    assert found["ready"]
    assert {one["name"] for one in found["processes"]} >= {"gateway.1", "gateway.2", "fanout.1", "notifier.2"}
    assert found["kafka"]["brokers"] == 1
    assert found["redis"]["clients"] > 0
    assert found["postgres"]["connections"] > 0
    groups = {group["name"]: group for group in found["groups"]}
    fanout = groups["fanout"]
    had = [part for member in fanout["members"] for part in member["partitions"]]
    assert len(had) == len(set(had)) == len(fanout["partitions"])
    assert {member["name"] for member in fanout["members"]} == {"fanout.1", "fanout.2"}


def test_without_a_terminal_the_page_is_printed_once(stack):
    lines = stack.command("top").stdout.splitlines()
    assert lines[0].startswith("fanfare  ready")
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert any(line.split()[:1] == ["fanout.2"] for line in lines)


async def test_delivery_times_and_sessions_of_each_gateway(stack, nodes, world, online):
    sender = await online(nodes[0], world.people[0])
    reader = await online(nodes[1], world.people[1])
    sent: list[str] = []
    done = asyncio.Event()

    async def send() -> None:
        while not done.is_set():
            sent.append((await sender.send(world.channels[0], f"message {len(sent)}"))["id"])

    sending = asyncio.create_task(send())
    try:
        found = json.loads((await asyncio.to_thread(stack.command, "top", "--json")).stdout)
    finally:
        done.set()
        await sending
    while sent:
        event = await reader.until("MESSAGE_CREATE", channel_id=str(world.channels[0]))
        sent.remove(event.d["id"])
    processes = {one["name"]: one for one in found["processes"]}
    for name in ("gateway.1", "gateway.2"):
        assert processes[name]["live"] >= 1
        assert processes[name]["delivery"]["per_s"] > 0
        assert 0 < processes[name]["delivery"]["p50_ms"] <= processes[name]["delivery"]["p99_ms"]
    (fanout,) = (group for group in found["groups"] if group["name"] == "fanout")
    assert fanout["incoming_per_s"] > 0


def screens(stack: Stack) -> list[str]:
    """What `fanfare top` writes to a terminal of 80 columns until the second page, when Ctrl-C is pressed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(stack.folder)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "fanfare.cli", "top", "--every", "0.2"],
            stack.environment | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40"},
        )
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 80, 0, 0))
    said, told = b"", False
    with contextlib.suppress(OSError):  # Linux says so at the end of a terminal
        while piece := os.read(terminal, 65536):
            said += piece
            if not told and said.count(b"fanfare") >= 3 and b"notifier.1" in said:
                os.kill(pid, signal.SIGINT)
                told = True
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    return said.decode().split("\x1b[H")


def test_in_a_terminal_it_goes_on_until_it_is_stopped(stack):
    found = screens(stack)
    assert len(found) > 2
    assert "\x1b[?1049h" in found[0] + found[1]  # the terminal's other page: what was there before comes back
    assert "\x1b[?1049l" in found[-1]
    assert all("Traceback" not in page for page in found)


def test_where_nothing_runs(tmp_path):
    done = Stack(tmp_path).command("top", check=False)
    assert done.returncode == 1
    assert "start `fanfare up`" in done.stderr
