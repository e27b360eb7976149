"""What the manifests let each process do is enough for all of them, on real stores, and no more than that.

Users, passwords and settings are those of the overlay for development, put into effect as the operators do it: ACLs
in a Kafka that is closed to strangers, users in Valkey, roles in PostgreSQL. Services log in to Kafka by SCRAM, the
jobs and who scales by lag with a certificate, as Strimzi makes both.
"""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError, TopicAuthorizationFailedError
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from deploy.kubernetes import settings_of
from fanfare import probe
from fanfare.bus.client import admin, connection
from fanfare.embedded.ports import free_port
from fanfare.settings import Settings
from tests.cases.certificates import Authority
from tests.cases.secure_broker import make_user, secure_broker
from tests.integration.store_fixtures import eventually
from tests.k8s.manifests import JOBS, SERVICES, Manifests, pod
from tests.stack import Stack, clean_environment
from torture.client import Client, Rest, Session

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(400)]

PASSWORD = "kafka-{role}"
# Of the shared Redis, one that nobody else uses.
DATABASE = 14
POSTGRES_DATABASE = "manifests"


@dataclass
class Place:
    """The stores of the overlay, and its pods' settings."""

    folder: Path
    stores: Stack
    authority: Authority
    kafka: Any
    manifests: Manifests

    def variables(self, role: str, *, by_certificate: bool = False) -> dict[str, str]:
        """What a pod of this role is told, but with the addresses that the stores have here."""
        stores = self.manifests.named("Secret", f"fanfare-{role}-stores")["data"] if role != "keda" else {}
        secret = {name: base64.b64decode(value).decode() for name, value in stores.items()}
        run = self.stores.run
        for name in ("redis", "postgres"):
            if url := secret.get(f"FANFARE_{name.upper()}"):
                secret[f"FANFARE_{name.upper()}"] = self._here(url, run[name])
        ca = {"FANFARE_KAFKA_CA": str(self.authority.pem)}
        own: dict[str, str] = {}
        if role == "migrate":
            ca = {}  # its pod has no way to Kafka
        elif by_certificate:
            files = [str(self.folder / f"{role}.{kind}") for kind in ("pem", "key")]
            own = {"FANFARE_KAFKA": self.kafka.mutual, "FANFARE_KAFKA_SECURITY": "SSL"}
            own |= dict(zip(("FANFARE_KAFKA_CERT", "FANFARE_KAFKA_KEY"), files, strict=True))
        else:
            own = {
                "FANFARE_KAFKA": self.kafka.scram,
                "FANFARE_KAFKA_SECURITY": "SASL_SSL",
                "FANFARE_KAFKA_SASL_USERNAME": f"fanfare-{role}",
                "FANFARE_KAFKA_SASL_PASSWORD": PASSWORD.format(role=role),
            }
        ports = {f"FANFARE_{name}_PORT": "0" for name in ("REST", "GATEWAY", "INTERNAL")}
        home = {"FANFARE_HOME": str(self.folder / "home")}
        return self.manifests.variables() | secret | own | ca | ports | home

    @staticmethod
    def _here(url: str, there: str) -> str:
        wanted, found = urlsplit(url), urlsplit(there)
        login = wanted.netloc.rpartition("@")[0]
        path = f"/{POSTGRES_DATABASE}" if wanted.scheme == "postgresql" else f"/{DATABASE}"
        return urlunsplit(wanted._replace(netloc=f"{login}@{found.hostname}:{found.port}", path=path))

    def environment(self, role: str, **options: Any) -> dict[str, str]:
        """For a process."""
        clean = {n: v for n, v in clean_environment(self.folder).items() if not n.startswith("FANFARE_")}
        return clean | self.variables(role, **options)

    def command(self, role: str, *words: str, **options: Any) -> str:
        """`fanfare WORDS` in a pod of this role."""
        done = subprocess.run(
            [sys.executable, "-m", "fanfare.cli", *words],
            env=self.environment(role, **options),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def settings(self, role: str, **options: Any) -> Settings:
        """For code of a test that acts as this role."""
        return settings_of(self.variables(role, **options))


@pytest.fixture(scope="module")
def place(stores, tmp_path_factory) -> Iterator[Place]:
    """The stores, with users who may do what the manifests say; jobs done, twice at once."""
    folder = tmp_path_factory.mktemp("rights")
    authority = Authority(folder)
    closed = {
        "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super_users": "User:ANONYMOUS",
        # Strimzi's certificates have nothing but that name in them.
        "ssl_principal_mapping_rules": r"RULE:^.*CN=([^,]+).*$/CN=$1/,DEFAULT",
    }
    with secure_broker(folder / "kafka-home", authority, **closed) as kafka:
        made = Place(folder, stores, authority, kafka, Manifests("dev"))
        _kafka_users(made)
        asyncio.run(_redis_users(made))
        asyncio.run(_postgres_roles(made))
        with ThreadPoolExecutor(2) as both:
            for job in JOBS:
                words = pod(made.manifests.ours()[job])["containers"][0]["args"]
                twice = [both.submit(made.command, job, *words, by_certificate=True) for _ in range(2)]
                assert all(each.result() for each in twice)
        yield made


def _kafka_users(place: Place) -> None:
    plain = clean_environment(place.folder, kafka=place.kafka.plain)

    def tool(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "fanfare.cli", "kafka", *words],
            env=plain,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    calls = []
    for user in place.manifests.all("KafkaUser"):
        name = user["metadata"]["name"]
        role = name.removeprefix("fanfare-")
        place.authority.issue(role, common_name=name)
        together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for acl in user["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            assert resource["patternType"] == "literal"
            together.setdefault((resource["type"], tuple(acl["operations"])), []).append(resource["name"])
        who = ("--add", "--allow-principal", f"User:{name}", "--allow-principal", f"User:CN={name}")
        for (kind, operations), names in together.items():
            rights = [word for operation in operations for word in ("--operation", operation)]
            calls.append((*who, *rights, *(f"--{kind}={each}" for each in names)))
    with ThreadPoolExecutor(3) as several:
        list(several.map(lambda words: tool("acls", *words), calls))
        list(
            several.map(
                lambda role: make_user(
                    place.folder, place.kafka.plain, f"fanfare-{role}", PASSWORD.format(role=role)
                ),
                SERVICES,
            )
        )


async def _redis_users(place: Place) -> None:
    data = place.manifests.named("Secret", "fanfare-valkey-users")["data"]
    admin_redis = Redis.from_url(place.stores.run["redis"])
    try:
        for line in base64.b64decode(data["users.acl"]).decode().splitlines():
            _, name, *rules = line.split()
            if name != "default":  # the shared Redis is the tests' own
                await admin_redis.execute_command("ACL", "SETUSER", name, *rules)
    finally:
        await admin_redis.aclose()


async def _postgres_roles(place: Place) -> None:
    """As CloudNativePG does: the owner of the database, and the managed roles, with the passwords of their Secrets."""
    spec = place.manifests.named("Cluster", "fanfare-postgres")["spec"]
    first = spec["bootstrap"]["initdb"]
    wanted = [(first["owner"], first["secret"]["name"])]
    wanted += [(one["name"], one["passwordSecret"]["name"]) for one in spec["managed"]["roles"]]
    postgres = await asyncpg.connect(place.stores.run["postgres"])
    try:
        for role, secret in wanted:
            data = place.manifests.named("Secret", secret)["data"]
            assert base64.b64decode(data["username"]).decode() == role
            password = base64.b64decode(data["password"]).decode()
            await postgres.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{password}'")
        await postgres.execute(f'CREATE DATABASE {POSTGRES_DATABASE} OWNER "{first["owner"]}" ENCODING UTF8')
    finally:
        await postgres.close()


@contextmanager
def services(place: Place) -> Iterator[Mapping[str, str]]:
    """One pod of each service: their internal addresses."""
    running = []
    internal = {}
    try:
        for role in SERVICES:
            port = free_port()
            internal[role] = f"http://127.0.0.1:{port}"
            environment = place.environment(role) | {
                "FANFARE_INTERNAL_PORT": str(port),
                "FANFARE_HOST": "127.0.0.1",
                "FANFARE_UNREADY_S": "0",
            }
            with (place.folder / f"{role}.log").open("wb") as log:
                command = [sys.executable, "-m", role]
                running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        yield internal
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=60)


async def test_all_services_work_with_the_rights_of_the_manifests(place):
    """From a person made in the gateway's pod, as docs/operations.md says, to a row in the database."""
    with services(place) as internal:

        async def ready() -> bool:
            said = await asyncio.gather(*(probe.get(f"{address}/readyz") for address in internal.values()))
            return all(answer is not None and answer[0] == 200 for answer in said)

        async def gateway(*words: str) -> str:
            return (await asyncio.to_thread(place.command, "gateway", *words)).strip()

        try:
            await eventually(ready, 60)
            for name in ("ann", "ben"):
                await gateway("user", "create", name)
            await gateway("guild", "create", "Rights", "--owner", "ann", "--json")
            await gateway("guild", "add", "Rights", "ben")
            channel = json.loads(await gateway("channel", "create", "Rights", "pier", "--json"))["id"]
            tokens = [await gateway("token", name) for name in ("ann", "ben")]
            status = await probe.get_json(f"{internal['gateway']}/status")
            assert status is not None
            async with await Client.connect(status["address"], Session(tokens[1])) as ben:
                await ben.start()
                async with Rest(status["api"], tokens[0]) as ann:
                    sent = await ann.send(channel, "with least rights", nonce="n1")
                    assert (await ben.until("MESSAGE_CREATE")).d["content"] == "with least rights"
                    assert [one["content"] for one in await ann.messages(channel)] == ["with least rights"]

            async def archived() -> bool:
                settings = place.settings("migrate")
                connected = await asyncpg.connect(settings.postgres.get_secret_value())
                try:
                    ident = int(sent["id"])
                    return bool(
                        await connected.fetchval("SELECT count(*) FROM messages WHERE id = $1", ident)
                    )
                finally:
                    await connected.close()

            await eventually(archived, 30)
        except BaseException:
            print(*((place.folder / f"{role}.log").read_text()[-3000:] for role in SERVICES), sep="\n---\n")
            raise
    said = "".join((place.folder / f"{role}.log").read_text() for role in SERVICES)
    for word in ("NOPERM", "permission denied", "AuthorizationFailed"):
        assert word not in said


async def test_who_scales_by_lag_may_see_it_and_nothing_else(place):
    settings = place.settings("keda", by_certificate=True)
    for one in Manifests("prod").all("ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            partition = TopicPartition(trigger["metadata"]["topic"], 0)
            consumer = AIOKafkaConsumer(**connection(settings))
            await consumer.start()
            try:
                assert partition in await consumer.end_offsets([partition])
            finally:
                await consumer.stop()
            await eventually(
                lambda group=trigger["metadata"]["consumerGroup"]: _reads_offsets(settings, group)
            )
    await _may_not_write(settings, "chat.events")


async def _reads_offsets(settings: Settings, group: str) -> bool:
    """Whether offsets of a group can be read; not before a new cluster has made its topic for them."""
    async with admin(settings) as client:
        try:
            await client.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            return False
    return True


async def _may_not_write(settings: Settings, topic: str) -> None:
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"forged", partition=0)
    finally:
        await producer.stop()


async def test_what_is_not_among_the_rights_is_refused(place):
    """A fan-out that was broken into forges no message, reads no token's user, and takes nobody's session."""
    await _may_not_write(place.settings("fanout"), "chat.events")
    await _may_not_write(place.settings("notifier"), "chat.deliveries")
    for role, words in (
        ("fanout", ("GET", "session:x:moved")),
        ("notifier", ("DEL", "inbox:{x}")),
        ("archiver", ("SET", "worker:0", "x")),
        ("topics", ("SET", "epoch", "x")),
        ("gateway", ("FLUSHALL",)),
        ("gateway", ("CONFIG", "GET", "*")),
    ):
        redis = Redis.from_url(place.settings(role).redis.get_secret_value())
        try:
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*words)
        finally:
            await redis.aclose()
    for role, statement in (
        ("archiver", "SELECT token_generation FROM users"),
        ("gateway", "DELETE FROM messages"),
        ("gateway", "CREATE TABLE mine (id int)"),
    ):
        connected = await asyncpg.connect(place.settings(role).postgres.get_secret_value())
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connected.execute(statement)
        finally:
            await connected.close()
