"""D7: two installations on one Kafka, Redis and PostgreSQL work side by side with prefixes, and never by accident."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path

import pytest
from pydantic import SecretStr

from fanfare.bus.client import admin
from fanfare.bus.topics import create_topics, list_topics
from fanfare.checks.installation import Marks
from fanfare.checks.marks import claim, read_marks, settle
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.settings import Settings
from fanfare.store.database import dial, dsn
from fanfare.store.migrate import migrate
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import settings_of
from torture.client import Client, Rest, Session

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


@pytest.fixture
async def grey(stores) -> AsyncIterator[Settings]:
    """An installation of which only the stores matter: topics, tables and marks, made anew for a test."""
    settings = settings_of(stores).model_copy(update={"prefix": "grey", "secret": SecretStr(SECRET)})
    await asyncio.to_thread(migrate, settings)
    await create_topics(settings)
    await claim(settings)
    yield settings
    keys.use_prefix("")


async def ids(settings: Settings) -> Marks:
    """The ids that the stores hold."""
    redis = connect(settings)
    database = await dial(dsn(settings))
    try:
        return await read_marks(settings, redis, database)
    finally:
        await redis.aclose()
        await database.close()


async def change(
    settings: Settings, *, redis: Sequence[str] = (), sql: Sequence[str] = (), topic: str = ""
) -> None:
    """What an operator, an outage or an older version did to the stores."""
    client = connect(settings)
    database = await dial(dsn(settings))
    if redis:
        await client.execute_command(*redis)
    for statement in sql:
        await database.execute(statement)
    if topic:
        async with admin(settings) as kafka:
            await kafka.delete_topics([topic])

            async def gone() -> bool:
                return topic not in await kafka.list_topics()

            await eventually(gone)
    await client.aclose()
    await database.close()


async def test_d7_an_emptied_redis_belongs_to_us_again(grey):
    before = await ids(grey)
    assert before.kafka == before.redis == before.postgres
    await change(grey, redis=("DEL", "grey:installation"))
    assert await settle(grey, postgres=False) == ""
    assert await ids(grey) == before


async def test_d7_stores_of_a_version_without_ids_go_on_and_get_one(grey):
    """Also where two processes are the first at once."""
    before = await ids(grey)
    await change(
        grey,
        redis=("DEL", "grey:installation"),
        sql=(
            "DROP SCHEMA grey CASCADE",
            "CREATE SCHEMA grey",
            resources.files("fanfare.store").joinpath("migrations/versions/0001_first.sql").read_text(),
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0001')",
        ),
        topic="grey.installation",
    )
    assert await settle(grey) == ""  # before the new tables and the new topic
    await asyncio.to_thread(migrate, grey)
    await create_topics(grey)
    assert await settle(grey, postgres=False) == ""  # a worker is the first, and knows of no id
    assert await asyncio.gather(settle(grey), settle(grey)) == ["", ""]
    after = await ids(grey)
    assert after.kafka == after.redis == after.postgres
    assert isinstance(after.kafka, str)
    assert after != before


@pytest.mark.parametrize(
    ("store", "doing"),
    [
        ("PostgreSQL", {"sql": ("UPDATE installation SET id = 'elsewhere'",)}),
        ("Redis", {"redis": ("SET", "grey:installation", "elsewhere")}),
    ],
)
async def test_d7_a_store_put_back_from_elsewhere_is_refused_until_it_is_claimed(grey, store, doing):
    await change(grey, **doing)
    assert f"{store} belongs to installation elsewhere" in await settle(grey)
    made = await claim(grey)
    assert await settle(grey) == ""
    assert await ids(grey) == Marks(made, made, made)


async def test_d7_a_new_secret_beside_the_old_one_is_taken_and_then_alone(grey):
    new = "a new secret of thirty-two characters"
    for secret in (f"{new},{SECRET}", new):
        assert await settle(grey.model_copy(update={"secret": SecretStr(secret)})) == ""
    assert "FANFARE_SECRET is not that installation's" in await settle(grey)
