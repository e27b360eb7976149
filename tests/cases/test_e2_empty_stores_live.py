"""E2: services that are started on stores without topics and tables wait, and say what makes them."""

import asyncio
import subprocess
import sys
import uuid
from contextlib import ExitStack

import pytest

from fanfare import probe
from fanfare.bus.letters import letters
from fanfare.embedded.ports import free_port
from fanfare.store import Store
from fanfare.tokens import Tokens
from tests.integration.store_fixtures import eventually, settings_of, snowflakes
from tests.stack import clean_environment
from torture.client import Rest

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("own_keys")]
SECRET = "a secret of thirty-two characters and more"
next_id = snowflakes()


class Empty:
    """An installation of its own on the shared stores, of which nothing is there yet."""

    def __init__(self, stores, folder) -> None:
        self.folder = folder
        given = {
            name.removeprefix("FANFARE_").lower(): value for name, value in stores.store_settings().items()
        }
        self.given = given | {"prefix": f"e{uuid.uuid4().hex[:8]}", "secret": SECRET}
        self.settings = settings_of(stores.run, prefix=self.given["prefix"])
        self.addresses: dict[str, str] = {}
        self.rest_port = free_port()

    def start(self, role: str, stack: ExitStack) -> None:
        port = free_port()
        self.addresses[role] = f"http://127.0.0.1:{port}"
        ports = {
            "internal_port": str(port),
            "rest_port": str(self.rest_port),
            "gateway_port": str(free_port()),
        }
        log = stack.enter_context((self.folder / f"{role}.log").open("wb"))
        environment = clean_environment(self.folder, drain_s="0.1", **self.given | ports)
        process = subprocess.Popen([sys.executable, "-m", role], env=environment, stdout=log, stderr=log)
        stack.callback(process.wait, 60)
        stack.callback(process.terminate)

    def log(self, role: str) -> str:
        return (self.folder / f"{role}.log").read_text()

    async def command(self, *words: str) -> None:
        environment = clean_environment(self.folder, **self.given)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fanfare.cli", *words, env=environment, stdout=subprocess.DEVNULL
        )
        assert await process.wait() == 0

    async def ready(self) -> bool:
        said = await asyncio.gather(*(probe.get(f"{address}/readyz") for address in self.addresses.values()))
        return all(one is not None and one[0] == 200 for one in said)


@pytest.mark.parametrize(
    ("roles", "commands"),
    [
        (("archiver", "notifier", "fanout", "gateway"), (("topics", "create"), ("migrate",))),
        (("gateway", "fanout", "archiver", "notifier"), (("migrate",), ("topics", "create"))),
    ],
    ids=["topics first", "tables first"],
)
async def test_e2_services_wait_for_topics_and_tables_in_any_order(stores, tmp_path, roles, commands):
    """The archiver buried every message, because the table was not there."""
    empty = Empty(stores, tmp_path)
    with ExitStack() as stack:
        for role in roles:
            empty.start(role, stack)

        async def said(role: str, words: str) -> bool:
            return words in empty.log(role)

        for role in roles:
            await eventually(lambda role=role: said(role, "fanfare topics create"))
        for role in ("gateway", "archiver"):
            await eventually(lambda role=role: said(role, "fanfare migrate"))
        for words in commands:
            assert not await empty.ready()
            await empty.command(*words)
        await eventually(empty.ready)
        await _archives_a_message(empty)
    assert await letters(empty.settings) == []


async def _archives_a_message(empty: Empty) -> None:
    store = await Store.connect(empty.settings)
    try:
        owner = await store.create_user(next_id(), "owner")
        change = await store.create_guild(next_id, owner, "a guild", ["general"])
        (channel,) = change.value.channels
        token = Tokens(SECRET).issue(owner.id)
        async with Rest(f"http://127.0.0.1:{empty.rest_port}/api/v10", token) as rest:
            sent = await rest.send(channel, "the first one")

        async def archived() -> bool:
            return await store.message(channel, int(sent["id"])) is not None

        await eventually(archived)
    finally:
        await store.close()
