"""D7: two installations on one Kafka, Redis and PostgreSQL work side by side with prefixes, and never by accident."""

import asyncio
from pathlib import Path

import pytest

from fanfare.bus.topics import list_topics
from fanfare.client import Client, Rest, Session
from tests.stack import Stack
from tests.world import settings_of

SECRET = "the secret of the second installation"


def beside(tmp_path: Path, stores: Stack, *options: str, only: tuple[str, ...] = (), **more: str) -> Stack:
    """An installation on (some of) the stores of another one."""
    given = {name: stores.run[name] for name in only or ("kafka", "redis", "postgres")}
    return Stack(tmp_path, list(options), {**given, "secret": SECRET, **more})


@pytest.mark.parametrize("only", [("kafka", "redis"), ("redis",), ()])
def test_d7_a_second_installation_without_a_prefix_refuses_to_start(stores, tmp_path, only):
    """With a database of its own; with only Redis in common; and with all of them, but with a secret of its own."""
    second = beside(tmp_path, stores, "--stores-only", only=only)
    try:
        done = second.command("up", "--detach", *second.options, check=False)
    finally:
        second.stop()
    assert done.returncode == 1
    assert "belongs to installation" in done.stderr
    assert "FANFARE_PREFIX" in done.stderr


@pytest.fixture(scope="module")
def two(stores, tmp_path_factory):
    """The installations `blue` and `green`."""
    both = [beside(tmp_path_factory.mktemp(name), stores, prefix=name) for name in ("blue", "green")]
    try:
        for stack in both:
            stack.start()
        yield both
    finally:
        for stack in both:
            stack.stop()


async def heard(stack: Stack, listener: Client, word: str) -> list[str]:
    """What the listener hears up to a message that is said last in its own installation."""
    run = stack.run
    async with Rest(run["api"], run["users"]["alice"]["token"]) as alice:
        await alice.send(run["channel_id"], word)
    said = []
    while not said or said[-1] != word:
        said.append((await listener.until("MESSAGE_CREATE")).d["content"])
    return said


async def test_d7_two_installations_with_prefixes_work_side_by_side(two):
    """In each a message is heard once, and nothing is heard of the other's."""
    listeners = [
        await Client.connect(stack.run["gateway"], Session(stack.run["users"]["bob"]["token"]))
        for stack in two
    ]
    try:
        for listener in listeners:
            await listener.start()
        for word in ("one", "two"):
            for stack, listener in zip(two, listeners, strict=True):
                assert await heard(stack, listener, word) == [word]
    finally:
        for listener in listeners:
            await listener.cut()


async def test_d7_names_in_the_stores_have_the_prefix_and_commands_do_not_need_it(two, stores):
    blue, _ = two
    there = await list_topics(settings_of(stores))
    assert {"chat.events", "blue.chat.events", "green.chat.events", "blue.chat.deliveries.dead-letters"} <= {
        *there
    }
    groups = await asyncio.to_thread(blue.command, "groups", "--json")
    assert set(blue.status()["groups"]) >= {"fanout", "notifier", "archiver"}
    assert "green" not in groups.stdout
    for name in ("chat.events", "blue.chat.events"):
        assert "leader" in blue.command("topics", "describe", name).stdout
    assert blue.command("topics", "describe", "green.chat.events", check=False).returncode == 1


def test_d7_another_restart_of_the_same_installation_goes_on(two):
    """Its ids are there already; `fanfare check` finds nothing, and a restart starts."""
    blue, _ = two
    assert "belongs to" not in blue.command("check", check=False).stdout
    blue.stop()
    blue.start()
