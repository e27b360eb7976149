"""D5: least rights are enough for the whole pipeline, and a right that is missing is said by its name."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from fanfare import probe
from fanfare.checks import redis_rights
from fanfare.checks.findings import Level
from fanfare.checks.kafka import check_kafka
from fanfare.checks.postgres import check_postgres
from fanfare.checks.program import check
from fanfare.checks.redis import check_redis
from fanfare.checks.rights import ROLES, grants, kafka_acls
from fanfare.embedded.ports import free_port
from fanfare.presence import keys
from fanfare.settings import Settings
from tests.cases.brokers import broker
from tests.integration.store_fixtures import eventually
from tests.stack import Stack, clean_environment
from torture.client import Client, Rest, Session

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("own_keys")]

PREFIX = "least"
SECRET = "a secret of thirty-two characters and more"


@dataclass
class Place:
    """Stores in which each role has a user of its own, with the least rights."""

    folder: Path
    kafka: str
    stores: Stack

    def settings(self, role: str = "admin", **more: Any) -> Settings:
        """Settings of a role's process, or of who may all."""
        return Settings(
            prefix=PREFIX,
            secret=SecretStr(SECRET),
            kafka=self.kafka,
            kafka_security="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN",
            kafka_sasl_username=role,
            kafka_sasl_password=SecretStr(role),
            redis=SecretStr(self._as(self.stores.run["redis"], role)),
            postgres=SecretStr(self._as(self.stores.run["postgres"], role)),
            **more,
        )

    def _as(self, url: str, role: str) -> str:
        if role == "admin":
            return url
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{PREFIX}-{role}:{role}@{parts.hostname}:{parts.port}"))

    def environment(self, role: str = "admin", **more: str) -> dict[str, str]:
        """The same for a process."""
        given = self.settings(role).model_dump(include=set(_GIVEN))
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in given.items()
        }
        return clean_environment(self.folder, **plain, **more)

    def command(self, *words: str) -> str:
        """`fanfare WORDS` as who may all."""
        done = subprocess.run(
            [sys.executable, "-m", "fanfare.cli", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


_GIVEN = (
    "prefix", "secret", "kafka", "kafka_security", "kafka_sasl_mechanism", "kafka_sasl_username",
    "kafka_sasl_password", "redis", "postgres",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(stores, tmp_path_factory) -> Iterator[Place]:
    """A Kafka that is closed to strangers, and users of their own in the shared Redis and PostgreSQL."""
    folder = tmp_path_factory.mktemp("least")
    with broker(folder / "kafka-home", closed=True) as kafka:
        made = Place(folder, kafka, stores)
        made.command("migrate")
        made.command("topics", "create")
        _kafka_users(made)
        asyncio.run(_redis_and_postgres_users(made))
        yield made


def _kafka_users(place: Place) -> None:
    """By the commands that `fanfare rights kafka` prints."""
    calls = [words for role in ROLES for words in kafka_acls(place.settings(), role, f"User:{role}")]
    with ThreadPoolExecutor(3) as several:
        list(several.map(lambda words: place.command("kafka", "acls", *words), calls))


async def _redis_and_postgres_users(place: Place) -> None:
    admin = place.settings()
    redis = Redis.from_url(admin.redis.get_secret_value())
    postgres = await asyncpg.connect(admin.postgres.get_secret_value())
    keys.use_prefix(PREFIX)
    try:
        for role in ROLES:
            await redis.execute_command(
                "ACL", "SETUSER", f"{PREFIX}-{role}", "on", f">{role}", *redis_rights.acl(role)
            )
            await postgres.execute(f"CREATE ROLE \"{PREFIX}-{role}\" LOGIN PASSWORD '{role}'")
            for statement in grants(admin, role, f"{PREFIX}-{role}"):
                await postgres.execute(statement)
    finally:
        keys.use_prefix("")
        await redis.aclose()
        await postgres.close()


@contextmanager
def processes(place: Place) -> Iterator[dict[str, str]]:
    """One process of each role with its least rights: their internal addresses."""
    running = []
    internal = {}
    try:
        for role in ROLES:
            port = free_port()
            internal[role] = f"http://127.0.0.1:{port}"
            more = {"internal_port": str(port), "public_url": "ws://127.0.0.1:1/"}
            with (place.folder / f"{role}.log").open("wb") as log:
                command = [sys.executable, "-m", role]
                environment = place.environment(role, **more)
                running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        yield internal
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=60)


async def test_d5_the_least_rights_are_enough_for_the_whole_pipeline(place):
    for role in ROLES:
        found = await check(place.settings(role, public_url="ws://127.0.0.1:1/"), [role])
        assert [one for one in found if one.level is not Level.WARNING] == [], role
    with processes(place) as internal:

        async def ready() -> bool:
            said = await asyncio.gather(*(probe.get(f"{address}/readyz") for address in internal.values()))
            return all(answer is not None and answer[0] == 200 for answer in said)

        try:
            await eventually(ready, 60)
            await asyncio.to_thread(place.command, "user", "create", "ann")
            await asyncio.to_thread(place.command, "user", "create", "ben")
            guild = await asyncio.to_thread(
                place.command, "guild", "create", "Least", "--owner", "ann", "--json"
            )
            await asyncio.to_thread(place.command, "guild", "add", "Least", "ben")
            channel = json.loads(
                await asyncio.to_thread(place.command, "channel", "create", "Least", "pier", "--json")
            )["id"]
            assert guild
            tokens = {
                name: (await asyncio.to_thread(place.command, "token", name)).strip()
                for name in ("ann", "ben")
            }
            status = await probe.get_json(f"{internal['gateway']}/status")
            async with await Client.connect(status["address"], Session(tokens["ben"])) as ben:
                await ben.start()
                async with Rest(status["api"], tokens["ann"]) as ann:
                    await ann.send(channel, "with least rights", nonce="n1")
                    assert (await ben.until("MESSAGE_CREATE")).d["content"] == "with least rights"
                    assert [one["content"] for one in await ann.messages(channel)] == ["with least rights"]

            async def archived() -> bool:
                connection = await asyncpg.connect(place.settings().postgres.get_secret_value())
                try:
                    return bool(await connection.fetchval(f'SELECT count(*) FROM "{PREFIX}".messages'))
                finally:
                    await connection.close()

            await eventually(archived, 30)
        except BaseException:
            print(*((place.folder / f"{role}.log").read_text()[-3000:] for role in ROLES), sep="\n---\n")
            raise
    said = "".join((place.folder / f"{role}.log").read_text() for role in ROLES)
    for word in ("NOPERM", "permission denied", "AuthorizationFailed"):
        assert word not in said


async def test_d5_a_missing_right_in_kafka_names_topic_or_group_and_right(place):
    said = [one.said for one in await check_kafka(place.settings("archiver"), ["fanout"])]
    assert any("no right to WRITE topic least.chat.deliveries" in text for text in said), said
    assert any("no right to READ group least.fanout" in text for text in said), said
    said = [one.said for one in await check_kafka(place.settings("fanout"), ["gateway"])]
    assert any("no right to DESCRIBE group least.notifier" in text for text in said), said


async def test_d5_a_missing_right_in_redis_names_command_and_key(place):
    said = [one.said for one in await check_redis(place.settings("archiver"), ["notifier"])]
    assert any("XADD on least:inbox:{*}" in text for text in said), said
    assert any("HKEYS on least:guild:0:nodes" in text for text in said), said


async def test_d5_a_missing_right_in_postgresql_names_table_and_operation(place):
    said = [one.said for one in await check_postgres(place.settings("archiver"), ["gateway"])]
    assert any("least-archiver may not INSERT on table guilds" in text for text in said), said


async def test_d5_wrong_passwords_are_said_for_each_store(place):
    wrong = place.settings("archiver").model_copy(
        update={
            "kafka_sasl_password": SecretStr("x"),
            **{
                name: SecretStr(
                    getattr(place.settings("archiver"), name).get_secret_value().replace(":archiver@", ":x@")
                )
                for name in ("redis", "postgres")
            },
        }
    )
    found = await check(wrong, ["archiver"])
    said = {one.about: one.said for one in found if one.level is Level.ERROR}
    assert set(said) == {"Kafka", "Redis", "PostgreSQL"}, found
    assert "FANFARE_KAFKA_SASL_USERNAME" in said["Kafka"]
    assert "FANFARE_REDIS" in said["Redis"]
    assert "FANFARE_POSTGRES" in said["PostgreSQL"]


def test_d5_a_process_without_its_rights_refuses_to_start_and_names_them(place):
    done = subprocess.run(
        [sys.executable, "-m", "fanout"],
        env=place.environment("archiver", internal_port="0"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "no right to WRITE topic least.chat.deliveries" in done.stderr
    assert "no right to READ group least.fanout" in done.stderr


async def test_d5_an_advertised_listener_that_does_not_resolve_is_named(tmp_path):
    def run() -> Any:
        with broker(tmp_path / "astray", advertised_listeners="PLAINTEXT://nowhere.invalid:19092") as kafka:
            return asyncio.run(check_kafka(Settings(kafka=kafka), ["notifier"]))

    found = await asyncio.to_thread(run)
    assert any("nowhere.invalid:19092 (its advertised.listeners)" in one.said for one in found), found
