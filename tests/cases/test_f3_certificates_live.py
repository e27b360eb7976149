"""F3: certificates are renewed while a node runs, and SIGHUP ends nobody."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from fanfare import probe
from tests.cases.certificates import Authority
from tests.cases.own_gateway import own_gateway
from tests.cases.test_f5_tokens_live import owned
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import Node, make_world, processes_of, whole_again
from torture.client import Client, Rest, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


class Secured(NamedTuple):
    """A gateway with TLS beside the stack's."""

    node: Node
    authority: Authority
    trust: ssl.SSLContext
    log: Path

    async def shown(self) -> set[bytes]:
        """The certificates of new connections to both ports."""
        found = set()
        for url in (self.node.gateway, self.node.api):
            address = urlsplit(url)
            _, writer = await asyncio.open_connection(address.hostname, address.port, ssl=self.trust)
            found.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.transport.abort()
        return found


@pytest.fixture
async def secured(stack: Stack, tmp_path: Path) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path)
    cert, key = authority.issue("public")
    settings = owned(stack) | {
        "tls_cert": str(cert),
        "tls_key": str(key),
        "public_url": "wss://chat.example/",
    }
    trust = ssl.create_default_context(cafile=authority.pem)
    async with own_gateway(tmp_path, **settings) as node:
        assert node.gateway.startswith("wss://")
        assert node.api.startswith("https://")
        yield Secured(node, authority, trust, tmp_path / "gateway.log")


async def test_f3_new_connections_get_the_new_certificate_and_old_ones_stay(stack, secured, nodes):
    world = await make_world(stack, people=2)
    owner, member = world.people
    client = await Client.connect(secured.node.gateway, member.session(), tls=secured.trust)
    async with client, Rest(secured.node.api, owner.token, tls=secured.trust) as rest:
        await client.start()
        first = await secured.shown()
        secured.authority.issue("public")
        secured.node.signal(signal.SIGHUP)

        async def renewed() -> bool:
            return len(now := await secured.shown()) == 1 and now != first

        await eventually(renewed)
        said = await rest.send(world.channels[0], "over a connection of before")
        assert (await client.until("MESSAGE_CREATE")).d["id"] == said["id"]
        async with await Client.connect(secured.node.gateway, Session(owner.token), tls=secured.trust) as new:
            await new.start()
            said = await client.send(world.channels[0], "to a new one")
            assert (await new.until("MESSAGE_CREATE")).d["id"] == said["id"]
        # And back on a node without TLS: the session is the same.
        await client.cut()
        async with await Client.connect(nodes[0].gateway, client.session) as again:
            await again.resume()


@pytest.mark.parametrize("which", ["public.pem", "public.key"])
async def test_f3_a_broken_new_file_is_an_error_line_and_the_old_certificate_stays(secured, which):
    first = await secured.shown()
    (secured.authority.folder / which).write_bytes(b"-----BEGIN nothing-----")
    secured.node.signal(signal.SIGHUP)

    async def is_said() -> bool:
        return "FANFARE_TLS_CERT and FANFARE_TLS_KEY cannot be used" in secured.log.read_text()

    await eventually(is_said)
    assert await secured.shown() == first
    # Mended, it is taken.
    secured.authority.issue("public")
    secured.node.signal(signal.SIGHUP)

    async def renewed() -> bool:
        return first.isdisjoint(await secured.shown())

    await eventually(renewed)


async def test_f3_hup_ends_nobody(stack, online, nodes):
    """`fanfare up`, each service and each store, none with TLS; a client notices nothing."""
    world = await make_world(stack, people=1)
    client = await online(nodes[0], world.people[0])
    before = {entry["name"]: entry["pid"] for entry in await processes_of(stack)}
    for pid in (stack.run["pid"], *before.values()):
        os.kill(pid, signal.SIGHUP)
    await client.send(world.channels[0], "still there")
    await client.until("MESSAGE_CREATE", content="still there")
    await whole_again(stack)
    assert {entry["name"]: entry["pid"] for entry in await processes_of(stack)} == before
    for node in nodes:
        answer = await probe.get(f"{node.internal}/readyz")
        assert answer is not None
        assert answer[0] == 200
