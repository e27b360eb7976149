"""TLS from end to end: Kafka by SASL_SSL with SCRAM, Redis, PostgreSQL by verify-full, and the public ports.

The Valkey and the PostgreSQL that tests bring along are built without TLS, so a proxy of the test ends it in front of
them: what Fanfare connects to speaks TLS as the real ones do.
"""

import asyncio
import os
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from redis import Redis

from fanfare.checks.findings import Finding, Level
from fanfare.checks.kafka import check_kafka
from fanfare.checks.postgres import check_postgres
from fanfare.checks.redis import check_redis
from fanfare.settings import Settings
from tests.cases.certificates import Authority
from tests.cases.secure_broker import PASSWORD, USER, SecureBroker, secure_broker
from tests.cases.tls_proxy import TlsProxy, in_a_thread
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import nodes_of, processes_of
from torture.client import Client, Rest, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PREFIX = "tls"
WORD = "p%40ss"
"""The password of our user of Redis, as it stands in the URL."""


@dataclass
class Place:
    """Stores with TLS, and what runs on them."""

    folder: Path
    authority: Authority
    broker: SecureBroker
    redis: TlsProxy
    postgres: TlsProxy
    stores: Stack

    @property
    def settings(self) -> dict[str, str]:
        """Settings that reach all of them, named without the prefix."""
        database = urlsplit(self.stores.run["postgres"])
        login = database.netloc.rpartition("@")[0]
        ca = str(self.authority.pem)
        return {
            "prefix": PREFIX,
            "secret": "a secret of thirty-two characters and more",
            "kafka": self.broker.scram,
            "kafka_security": "SASL_SSL",
            "kafka_ca": ca,
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
            "redis": f"rediss://tls:{WORD}@127.0.0.1:{self.redis.port}/0",
            "redis_ca": ca,
            "postgres": f"postgresql://{login}@127.0.0.1:{self.postgres.port}{database.path}?sslmode=verify-full",
            "postgres_ca": ca,
        }

    def ours(self, **more: Any) -> Settings:
        """The same for code in this process."""
        given: dict[str, Any] = self.settings | more
        for name in ("secret", "kafka_sasl_password", "redis", "postgres"):
            given[name] = SecretStr(given[name])
        return Settings(**given)


@pytest.fixture(scope="module")
def place(stores: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    files = authority.issue("stores")
    redis_port, postgres_port = (urlsplit(stores.run[name]).port or 0 for name in ("redis", "postgres"))
    redis, postgres = TlsProxy(redis_port, *files), TlsProxy(postgres_port, *files, postgres=True)
    with Redis.from_url(stores.run["redis"]) as admin:
        admin.acl_setuser(
            "tls", enabled=True, passwords=["+p@ss"], keys=["*"], channels=["*"], categories=["+@all"]
        )
        with secure_broker(folder / "kafka", authority) as broker, in_a_thread(redis, postgres):
            yield Place(folder, authority, broker, redis, postgres, stores)
        admin.acl_deluser("tls")


@pytest.fixture(scope="module")
def secured(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateways and all else, on these stores, with TLS on the public ports."""
    cert, key = place.authority.issue("public")
    settings = place.settings | {"tls_cert": str(cert), "tls_key": str(key)}
    scale = ["--scale", "gateway=2,fanout=1,notifier=1,archiver=1"]
    stack = Stack(tmp_path_factory.mktemp("secured"), scale, settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def trust(place: Place) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=place.authority.pem)


async def test_f3_two_clients_talk_resume_on_the_other_node_and_read_history(secured, trust):
    run, nodes = secured.run, await nodes_of(secured)
    assert run["gateway"].startswith("wss://")
    alice, bob = (run["users"][name]["token"] for name in ("alice", "bob"))
    session = Session(bob)
    async with (
        await Client.connect(nodes[0].gateway, Session(alice), tls=trust) as sender,
        await Client.connect(nodes[1].gateway, session, tls=trust) as receiver,
        Rest(nodes[1].api, bob, tls=trust) as rest,
    ):
        await sender.start()
        await receiver.start()
        ids = [(await sender.send(run["channel_id"], "one"))["id"]]
        await receiver.until("MESSAGE_CREATE", id=ids[0])
        await receiver.cut()
        ids += [(await sender.send(run["channel_id"], f"{number}"))["id"] for number in range(10)]
        async with await Client.connect(nodes[0].gateway, session, tls=trust) as again:
            missed = await again.resume()
            assert [event.d["id"] for event in missed if event.t == "MESSAGE_CREATE"] == ids[1:]
            said = await rest.send(run["channel_id"], "by REST")
            await again.until("MESSAGE_CREATE", id=said["id"])
        there = [message["id"] for message in await rest.messages(run["channel_id"], limit=50)]
        assert there[: len(ids) + 1] == [said["id"], *reversed(ids)]


async def test_f3_every_command_takes_the_settings_of_tls(secured):
    """Admin client, tail, groups, Kafka's own tools, Redis and PostgreSQL of `fanfare token`, and the checks."""
    commands = {
        ("topics", "list"): "chat.events",
        ("topics", "describe", f"{PREFIX}.chat.events"): "leader",
        ("groups", "--json"): "fanout",
        ("kafka", "topics", "--list"): f"{PREFIX}.chat.events",
        ("token", "carol"): ".",
        ("check",): "",
    }
    for command, said in commands.items():
        done = await asyncio.to_thread(secured.command, *command)
        assert said in done.stdout
        assert PASSWORD not in done.stdout + done.stderr


async def test_f3_up_passes_hup_on_to_every_gateway(secured, place, trust):
    before = {entry["name"]: entry["pid"] for entry in await processes_of(secured)}
    ports = [urlsplit(url).port for node in await nodes_of(secured) for url in (node.gateway, node.api)]

    async def shown() -> set[bytes]:
        found = set()
        for port in ports:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            found.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.transport.abort()
        return found

    first = await shown()
    place.authority.issue("public")
    os.kill(secured.run["pid"], signal.SIGHUP)

    async def renewed() -> bool:
        return len(now := await shown()) == 1 and now != first

    await eventually(renewed)
    assert {entry["name"]: entry["pid"] for entry in await processes_of(secured)} == before


async def test_f3_the_stores_get_new_certificates_and_all_goes_on(secured, place, trust):
    """New ones are shown, and every connection is cut: the processes connect again by themselves."""
    run, nodes = secured.run, await nodes_of(secured)
    alice = run["users"]["alice"]["token"]
    async with (
        await Client.connect(nodes[0].gateway, Session(alice), tls=trust) as client,
        Rest(nodes[0].api, alice, tls=trust) as rest,
    ):
        await client.start()
        files = place.authority.issue("stores")
        for proxy in (place.redis, place.postgres):
            before = proxy.connections
            proxy.renew(*files)
            proxy.cut()
            await eventually(lambda proxy=proxy, before=before: asyncio.sleep(0, proxy.connections > before))
        nonce = "renewed"

        async def is_sent() -> bool:
            try:
                await rest.send(run["channel_id"], "after it", nonce)
            except Exception:  # noqa: BLE001 - whatever is answered while Redis is away
                return False
            return True

        await eventually(is_sent)
        await client.until("MESSAGE_CREATE", content="after it")


def refusal(found: list[Finding]) -> str:
    """What keeps a process from starting, none of it that a store is away."""
    assert [one.level for one in found] == [Level.ERROR], found
    return found[0].said


ROLES = ("gateway",)


async def test_f3_what_is_wrong_with_kafka_is_said(place, tmp_path):
    stranger = str(Authority(tmp_path).pem)
    said = refusal(await check_kafka(place.ours(kafka_ca=stranger), ROLES))
    assert "certificate is not accepted" in said
    assert f"FANFARE_KAFKA_CA is {stranger}" in said
    plain = {"kafka_security": "PLAINTEXT", "kafka_ca": None}
    assert "speaks TLS" in refusal(await check_kafka(place.ours(**plain), ROLES))
    assert "does not speak TLS" in refusal(await check_kafka(place.ours(kafka=place.broker.plain), ROLES))
    said = refusal(await check_kafka(place.ours(kafka_sasl_password="another"), ROLES))
    assert "FANFARE_KAFKA_SASL_USERNAME" in said
    mutual = {"kafka": place.broker.mutual, "kafka_security": "SSL"}
    assert "FANFARE_KAFKA_CERT is not set" in refusal(await check_kafka(place.ours(**mutual), ROLES))
    cert, key = place.authority.issue("client", "fanfare")
    found = await check_kafka(place.ours(**mutual, kafka_cert=cert, kafka_key=key), ROLES)
    # It was let in: there may be no topics yet, and that is all.
    assert all(one.level is Level.WARNING or one.said.startswith("no topic") for one in found)


@pytest.mark.parametrize(
    "wrong", ["expired", "another host", "another authority", "no TLS wanted", "none there"]
)
async def test_f3_what_is_wrong_with_redis_and_postgresql_is_said(place, tmp_path, wrong):
    files = place.authority.issue(
        "wrong",
        *(("elsewhere.example",) if wrong == "another host" else ()),
        days=-1 if wrong == "expired" else 2,
    )
    to = {name: urlsplit(place.stores.run[name]) for name in ("redis", "postgres")}
    proxies = {name: TlsProxy(to[name].port, *files, postgres=name == "postgres") for name in to}
    if wrong == "another authority":
        place = Place(
            place.folder, Authority(tmp_path), place.broker, place.redis, place.postgres, place.stores
        )
    for proxy in proxies.values():
        await proxy.start()
    given = place.settings
    for name, proxy in proxies.items():
        port = to[name].port if wrong == "none there" else proxy.port
        given[name] = given[name].replace(f":{urlsplit(given[name]).port}", f":{port}")
    if wrong == "no TLS wanted":
        given["redis"] = given["redis"].replace("rediss", "redis")
        del given["redis_ca"]
    try:
        settings = place.ours(**given) if wrong != "no TLS wanted" else place.ours(**given, redis_ca=None)
        redis = refusal(await check_redis(settings, ROLES))
        words = {
            "expired": "has expired",
            "another host": "not valid for '127.0.0.1'",
            "another authority": "unable to get local issuer",
            "no TLS wanted": "needs rediss://",
            "none there": "does not speak TLS",
        }
        assert words[wrong] in redis
        assert "FANFARE_REDIS" in redis
        if wrong != "no TLS wanted":
            postgres = refusal(await check_postgres(settings, ROLES))
            assert words[wrong] in postgres
            assert "FANFARE_POSTGRES" in postgres
    finally:
        for proxy in proxies.values():
            await proxy.stop()
